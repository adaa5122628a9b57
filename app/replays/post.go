package replays

import (
	"bytes"
	"encoding/json"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// A timeline is a page of a user's posts as X shows them.
type timeline struct {
	Data []post `json:"data"`
	Meta struct {
		Next  string `json:"next_token"`
		Count *int   `json:"result_count"`
	} `json:"meta"`
	Errors []json.RawMessage `json:"errors"` // of what X did not show
}

// A post is one of X's, with what tells it from others.
type post struct {
	ID       string    `json:"id"`
	Text     string    `json:"text"`
	At       time.Time `json:"created_at"`
	Entities entities  `json:"entities"`
	Note     *struct { // of a long post, whose text is cut
		Text     string   `json:"text"`
		Entities entities `json:"entities"`
	} `json:"note_tweet"`
	References []struct {
		Kind string `json:"type"`
		ID   string `json:"id"`
	} `json:"referenced_tweets"`
	Attachments struct {
		Media []string `json:"media_keys"` // a kind, an underscore, and the ID of what was uploaded
		Polls []string `json:"poll_ids"`
	} `json:"attachments"`
	Geo struct {
		Place string `json:"place_id"`
	} `json:"geo"`
	Community string   `json:"community_id"`
	Card      string   `json:"card_uri"`
	History   []string `json:"edit_history_tweet_ids"`
}

type entities struct {
	URLs []struct {
		Short    string `json:"url"` // https://t.co/…
		Expanded string `json:"expanded_url"`
		Media    string `json:"media_key"`
	} `json:"urls"`
}

// edited reports whether the post has taken another's place: its text and its time
// say nothing of the first.
func (p post) edited() bool { return len(p.History) > 1 }

func (p post) refers(kind string) string {
	for _, r := range p.References {
		if r.Kind == kind {
			return r.ID
		}
	}
	return ""
}

// A draft is what was to be posted.
type draft struct {
	text, reply, quote string
	media              []string
	more               bool // it has something that is not compared, so that nothing is known to be it
	hidden             bool // X need not list it among the user's posts, or not as one of its own
}

// draftOf reads the body of a createPosts call.
func draftOf(body []byte) (draft, bool) {
	var in struct {
		Text  string `json:"text"`
		Quote string `json:"quote_tweet_id"`
		Reply struct {
			To string `json:"in_reply_to_tweet_id"`
		} `json:"reply"`
		Media struct {
			IDs []string `json:"media_ids"`
		} `json:"media"`
		Nullcast  bool   `json:"nullcast"`
		Community string `json:"community_id"`
		Super     bool   `json:"for_super_followers_only"`
		Shared    bool   `json:"share_with_followers"`
		Edit      *struct {
			Previous string `json:"previous_post_id"`
		} `json:"edit_options"`
	}
	if json.Unmarshal(body, &in) != nil {
		return draft{}, false
	}
	strict := json.NewDecoder(bytes.NewReader(body))
	strict.DisallowUnknownFields()
	return draft{
		text: in.Text, reply: in.Reply.To, quote: in.Quote, media: in.Media.IDs, more: strict.Decode(&in) != nil,
		hidden: in.Nullcast || in.Community != "" || in.Super || in.Shared || in.Edit != nil,
	}, true
}

// is reports whether the post is the one that was to be.
func (d draft) is(p post) bool {
	return !d.more && p.refers("replied_to") == d.reply && p.refers("retweeted") == "" && d.quotes(p) && d.shows(p) &&
		d.says(p, d.exactly)
}

// maybe reports whether the post may be it, if X has changed it in a way that is
// not known here. It compares what X leaves alone.
func (d draft) maybe(p post) bool {
	return p.refers("retweeted") == "" && d.says(p, d.nearly)
}

// says reports whether the post's text is the draft's, which same decides. X
// writes &, < and > as HTML does.
func (d draft) says(p post, same func(want, got string) bool) bool {
	want, words := plain(d.text), p.words(d.quote)
	return same(want, plain(html.UnescapeString(words))) || same(want, plain(words))
}

// exactly reports whether a text is the one that was to be. X puts names before a
// reply: those that it had already must follow them.
func (d draft) exactly(want, got string) bool {
	if d.reply == "" || want == got {
		return want == got
	}
	if want != "" {
		want = " " + want
	}
	before, ok := strings.CutSuffix(" "+got, want)
	return ok && names.MatchString(before)
}

// nearly reports whether a text says the same, whatever names a reply begins with.
func (d draft) nearly(want, got string) bool {
	if d.reply != "" {
		want, got = called.ReplaceAllString(want, ""), called.ReplaceAllString(got, "")
	}
	return bare(want) == bare(got)
}

// quotes reports whether the post quotes what the draft does, by its ID or by a
// link in the text.
func (d draft) quotes(p post) bool {
	quoted := p.refers("quoted")
	return quoted == d.quote || d.quote == "" && strings.Contains(d.text, "/status/"+quoted)
}

// shows reports whether the post shows what the draft does: its media, and none of
// what a draft that is compared does not have. A card that X made of a link is
// named by that link.
func (d draft) shows(p post) bool {
	shown := make([]string, len(p.Attachments.Media))
	for i, key := range p.Attachments.Media {
		_, shown[i], _ = strings.Cut(key, "_")
	}
	carded := p.Card != "" && !slices.Contains(p.links(), p.Card)
	if carded || len(p.Attachments.Polls) > 0 || p.Geo.Place != "" || p.Community != "" {
		return false
	}
	return slices.Equal(slices.Sorted(slices.Values(shown)), slices.Sorted(slices.Values(d.media)))
}

var (
	appended = regexp.MustCompile(`^https?://(?:www\.)?(?:twitter|x)\.com/\S+/(?:photo|video)/\d+$`)
	quoting  = regexp.MustCompile(`^https?://(?:www\.)?(?:twitter|x)\.com/\S+/status/(\d+)`)
	called   = regexp.MustCompile(`^(?:@\w+(?: |$))+`)
	names    = regexp.MustCompile(`^(?: @\w+)*$`)
	scheme   = regexp.MustCompile(`(?i)https?://`)
)

func (p post) links() (short []string) {
	for _, u := range p.Entities.URLs {
		short = append(short, u.Short)
	}
	return short
}

// words is the text as its author wrote it: with links as they were, without
// those that X appends for media and for what is quoted.
func (p post) words(quote string) string {
	text, in := p.Text, p.Entities
	if p.Note != nil {
		text, in = p.Note.Text, p.Note.Entities
	}
	for _, u := range in.URLs {
		long := u.Expanded
		of := quoting.FindStringSubmatch(long)
		if u.Media != "" || appended.MatchString(long) || of != nil && of[1] == quote {
			long = ""
		}
		if u.Short != "" {
			text = strings.ReplaceAll(text, u.Short, long)
		}
	}
	return text
}

// plain is a text without what X changes: the space around and between words, the
// scheme of links, and the case of the names with which it begins.
func plain(text string) string {
	text = scheme.ReplaceAllString(strings.Join(strings.Fields(text), " "), "")
	return called.ReplaceAllStringFunc(text, strings.ToLower)
}

// bare is the letters, marks and digits of a text, in whatever script, without what
// may be a link and what nobody sees. It is the same for all spellings of one letter.
func bare(text string) string {
	words := slices.DeleteFunc(strings.Fields(text), func(w string) bool {
		return strings.ContainsAny(strings.TrimRight(w, "."), "./")
	})
	return strings.Map(func(c rune) rune {
		seen := !unicode.In(c, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
		if seen && unicode.In(c, unicode.L, unicode.M, unicode.N) {
			return c
		}
		return -1
	}, strings.ToLower(norm.NFKC.String(strings.Join(words, ""))))
}
