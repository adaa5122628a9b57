package cloudflare

import (
	"slices"
	"strings"
)

// A token is a piece of SQL that is not cut further.
type token struct {
	kind kind
	text string
}

type kind uint8

const (
	other       kind = iota
	space            // or a comment
	word             // a keyword, a name or a number
	quoted           // a text or a name in quotes
	placeholder      // of an argument
	semicolon
)

func (t token) is(keyword string) bool { return t.kind == word && strings.EqualFold(t.text, keyword) }

// split cuts a text at the semicolons that end statements, and leaves out those
// without content. In a trigger a semicolon ends the statement only after END,
// where another semicolon stands before.
func split(text string) (list [][]token) {
	var one []token
	for _, t := range scan(text) {
		if t.kind != semicolon || open(one) {
			one = append(one, t)
			continue
		}
		if slices.ContainsFunc(one, token.counts) {
			list = append(list, one)
		}
		one = nil
	}
	if slices.ContainsFunc(one, token.counts) {
		list = append(list, one)
	}
	return list
}

func (t token) counts() bool { return t.kind != space }

// open reports whether the tokens are the beginning of a trigger that goes on.
func open(tokens []token) bool {
	var first []token
	for _, t := range tokens {
		if t.counts() && len(first) < 3 {
			first = append(first, t)
		}
	}
	temporary := len(first) == 3 && (first[1].is("TEMP") || first[1].is("TEMPORARY"))
	if len(first) < 2 || !first[0].is("CREATE") || (!first[1].is("TRIGGER") && (!temporary || !first[2].is("TRIGGER"))) {
		return false
	}
	var last [2]token
	for i, n := len(tokens)-1, 0; i >= 0 && n < 2; i-- {
		if tokens[i].counts() {
			last[n] = tokens[i]
			n++
		}
	}
	return !last[0].is("END") || last[1].kind != semicolon
}

// scan cuts SQL as SQLite does. What is not closed goes to the end of the text,
// and D1 says what is wrong with it.
func scan(text string) (tokens []token) {
	for len(text) > 0 {
		k, n := measure(text)
		tokens = append(tokens, token{k, text[:n]})
		text = text[n:]
	}
	return tokens
}

// measure returns the kind and the length of the first token.
func measure(text string) (kind, int) {
	switch c := text[0]; {
	case strings.ContainsRune(" \t\n\f\r", rune(c)):
		return space, 1
	case strings.HasPrefix(text, "--"):
		return space, until(text, "\n", 2)
	case strings.HasPrefix(text, "/*"):
		return space, until(text, "*/", 2)
	case c == '\'' || c == '"' || c == '`':
		return quoted, closed(text, c)
	case c == '[':
		return quoted, until(text, "]", 1)
	case c == ';':
		return semicolon, 1
	case c == '?' || (strings.IndexByte(":@$", c) >= 0 && len(text) > 1 && inWord(text[1])):
		return placeholder, 1 + wordLength(text[1:])
	case inWord(c):
		return word, wordLength(text)
	}
	return other, 1
}

// until is the length up to the end of the mark, looked for behind what opens.
func until(text, mark string, opening int) int {
	if i := strings.Index(text[opening:], mark); i >= 0 {
		return opening + i + len(mark)
	}
	return len(text)
}

// closed is the length of what is in quotes, in which two quotes stand for one.
func closed(text string, quote byte) int {
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != quote:
		case i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i + 1
		}
	}
	return len(text)
}

func wordLength(text string) int {
	n := 0
	for n < len(text) && inWord(text[n]) {
		n++
	}
	return n
}

func inWord(c byte) bool {
	return c == '_' || c == '$' || c >= 0x80 || (c >= '0' && c <= '9') || (c|0x20 >= 'a' && c|0x20 <= 'z')
}
