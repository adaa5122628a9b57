package quota

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"perch/domain/fault"
	"perch/domain/xapi"
)

// A Subject is whose calls a rule counts together.
type Subject string

// The subjects. An address of IPv6 counts with all of its /64, and a key may be
// the session of a browser.
const (
	Address     Subject = "address"
	Key         Subject = "key"
	Application Subject = "app"
	Grant       Subject = "grant"
)

// Classes of actions beside xapi's own words: what changes something, private
// messages aside, and what has to do with media.
const (
	Write = "write"
	Media = "media"
)

// A Rule limits the calls of each subject, of all actions or of one class.
type Rule struct {
	Subject Subject
	Class   string // empty: all actions
	Limit
}

// units are the windows that have a letter.
var units = []struct {
	letter string
	window time.Duration
}{{"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}}

// Bounds of a rule.
const (
	mostCalls  = 1_000_000_000
	mostWindow = 31 * 24 * time.Hour
	mostRules  = 20
)

// ParseRule reads a rule: SUBJECT:CALLS/WINDOW or SUBJECT/CLASS:CALLS/WINDOW, as
// app:6000/m, grant/write:100/15m or key:20/s.
func ParseRule(text string) (Rule, error) {
	if len(Split(text)) > 1 {
		return Rule{}, fault.New(fault.Invalid, "%q is more than one limit; give each alone: as an item of its own in the "+
			"list limits, or behind a --limit of its own", short(text))
	}
	if text == "off" {
		return Rule{}, fault.New(fault.Invalid, "%q is no limit; an empty list, or --limit= alone, takes away what an "+
			"application has of its own, and PERCH_LIMITS=off, with no limit beside it, those of the house", text)
	}
	whose, rate, ok1 := strings.Cut(text, ":")
	calls, window, ok2 := strings.Cut(rate, "/")
	n, ok3 := number(calls, mostCalls)
	length, ok4 := parseWindow(window)
	if _, err := strconv.ParseInt(calls, 10, 64); err == nil && !ok3 && ok4 {
		return Rule{}, fault.New(fault.Invalid, "%q allows %s calls; write a number from 1 to %d, with no sign or zero "+
			"before it", short(text), short(calls), mostCalls)
	}
	if !ok1 || !ok2 || !ok3 || !ok4 {
		return Rule{}, fault.New(fault.Invalid, "%q is no limit; write SUBJECT:CALLS/WINDOW, as app:6000/m or "+
			"grant/write:100/15m, with a window of s, m, h or d, 31d at most", short(text))
	}
	subject, class, classed := strings.Cut(whose, "/")
	r := Rule{Subject(subject), class, Limit{Max: n, Window: length}}
	if !slices.Contains([]Subject{Address, Key, Application, Grant}, r.Subject) {
		return Rule{}, fault.New(fault.Invalid, "%q limits %q; limits are for each address, key, app or grant",
			short(text), short(subject))
	}
	if classed && r.Subject == Address {
		return Rule{}, fault.New(fault.Invalid, "%q names a class of actions; an address is counted before anybody "+
			"knows what it asks: write address:%s", short(text), rate)
	}
	if classed && !knownClass(class) {
		return Rule{}, fault.New(fault.Invalid, "%q names the actions %q; use read, write, media, messages, post, engage "+
			"or an operation ID of X", short(text), short(class))
	}
	return r, nil
}

func knownClass(class string) bool {
	return class == Write || class == Media || !strings.HasPrefix(class, "tag:") && xapi.CheckWords([]string{class}) == nil
}

func parseWindow(text string) (time.Duration, bool) {
	for _, u := range units {
		count, ok := strings.CutSuffix(text, u.letter)
		if !ok {
			continue
		}
		if count == "" {
			return u.window, true
		}
		n, ok := number(count, int64(mostWindow/u.window))
		return time.Duration(n) * u.window, ok
	}
	return 0, false
}

// number reads a number from 1 to the most, in its one spelling.
func number(text string, most int64) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n > 0 && n <= most && strconv.FormatInt(n, 10) == text
}

func short(text string) string {
	if len(text) > 60 {
		return text[:60] + "…"
	}
	return text
}

// Split takes rules apart that stand in one text, between spaces and commas.
func Split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n,", r) })
}

// ParseRules reads rules. Several for one subject and class count in different
// windows.
func ParseRules(texts []string) ([]Rule, error) {
	if len(texts) > mostRules {
		return nil, fault.New(fault.Invalid, "there are more than %d limits; each costs every call some time", mostRules)
	}
	rules := make([]Rule, 0, len(texts))
	for _, text := range texts {
		r, err := ParseRule(text)
		if err != nil {
			return nil, err
		}
		for _, other := range rules {
			if other.Name() == r.Name() {
				return nil, fault.New(fault.Invalid, "%q and %q are for the same window; keep one", other, r)
			}
		}
		rules = append(rules, r)
	}
	return rules, nil
}

// String returns the rule as ParseRule reads it.
func (r Rule) String() string {
	return r.whose() + ":" + strconv.FormatInt(r.Max, 10) + "/" + Length(r.Window)
}

// Name tells the rules of a Perch apart: subject, class and window.
func (r Rule) Name() string { return r.whose() + "/" + Length(r.Window) }

func (r Rule) whose() string {
	if r.Class == "" {
		return string(r.Subject)
	}
	return string(r.Subject) + "/" + r.Class
}

// Length writes a window as rules do: 15m, or m for one.
func Length(d time.Duration) string {
	for _, u := range slices.Backward(units) {
		if d == u.window {
			return u.letter
		}
		if d%u.window == 0 {
			return strconv.FormatInt(int64(d/u.window), 10) + u.letter
		}
	}
	return d.String()
}

// Counts reports whether the rule counts calls of the action.
func (r Rule) Counts(act xapi.Action) bool {
	switch r.Class {
	case "":
		return true
	case Write:
		return act.Method != "GET" && !xapi.Covers([]string{xapi.Messages}, act)
	case Media:
		return act.Tag == "Media"
	}
	return xapi.Covers([]string{r.Class}, act)
}

// Instead returns the house's rules, but those that own has instead of them: for
// the same subject and class.
func Instead(house, own []Rule) []Rule {
	if len(own) == 0 {
		return house
	}
	out := make([]Rule, 0, len(house)+len(own))
	for _, r := range house {
		if !slices.ContainsFunc(own, func(o Rule) bool { return o.whose() == r.whose() }) {
			out = append(out, r)
		}
	}
	return append(out, own...)
}
