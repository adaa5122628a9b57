package spend

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Links reports whether a post may have a link in it, for which X bills another
// price. It looks at every text of the body: readers of JSON disagree on what a
// name means that comes twice. A body that cannot be read may have one too.
func Links(body []byte) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	for {
		t, err := d.Token()
		if err != nil {
			return !errors.Is(err, io.EOF)
		}
		if text, ok := t.(string); ok && HasLink(text) {
			return true
		}
	}
}

// HasLink reports whether X might make a link of something in the text. It goes
// by a small rule that errs on the side of a link: "://" is one, and so is a dot
// between what may be the end of a domain and a top-level domain that ends there,
// as in example.com, mail@example.com and "the end.So". X itself leaves out
// addresses of mail and some more.
func HasLink(text string) bool {
	if strings.Contains(text, "://") {
		return true
	}
	for before, after, found := strings.Cut(text, "."); found; before, after, found = strings.Cut(after, ".") {
		if inDomain(before) && topLevel(after) {
			return true
		}
	}
	return false
}

// inDomain reports whether a domain may end where the text does. For X all belongs
// to domains that is no space and no punctuation of ASCII: marks and signs too.
func inDomain(text string) bool {
	last, size := utf8.DecodeLastRuneInString(text)
	return size > 0 && !unicode.IsSpace(last) && !strings.ContainsRune("!#$%&'()*+,./:;<=>?@[\\]^{|}~", last)
}

// topLevel reports whether the text begins with a top-level domain.
func topLevel(text string) bool {
	end := strings.IndexFunc(text, func(r rune) bool {
		return r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-'
	})
	if end < 0 {
		end = len(text)
	}
	if end > 0 {
		word := strings.ToLower(text[:end])
		return strings.HasPrefix(word, "xn--") || listed(latin, word)
	}
	// Letters of those scripts often stand without spaces: the domain may end anywhere.
	for end, n := 0, 0; end < len(text) && n < longestForeign; n++ {
		_, size := utf8.DecodeRuneInString(text[end:])
		end += size
		if listed(foreign, strings.ToLower(text[:end])) {
			return true
		}
	}
	return false
}

// longestForeign is how many letters the top-level domains in other letters have
// at most.
const longestForeign = 12

func listed(all, word string) bool {
	for line := range strings.SplitSeq(all, "\n") {
		if strings.Contains(" "+line+" ", " "+word+" ") {
			return true
		}
	}
	return false
}
