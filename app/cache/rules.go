package cache

import (
	"strings"
	"time"

	"perch/domain/fault"
	"perch/domain/xapi"
)

// Off is how rules are written that keep nothing.
const Off = "off"

// longest is how long an answer may be kept: X wants what it gives to be shown as
// it is, and to go when it is deleted.
const longest = 24 * time.Hour

// Rules say how long answers to each operation are kept, by its operationId.
type Rules map[string]time.Duration

// Parse reads rules as they are written, as "getUsersMe=5m getPostsById=30s". Off,
// and nothing, are no rules.
func Parse(text string) (Rules, error) {
	rules := Rules{}
	if text == Off {
		return rules, nil
	}
	for _, rule := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' }) {
		id, long, ok := strings.Cut(rule, "=")
		ttl, err := time.ParseDuration(long)
		act, known := xapi.ByID(id)
		switch {
		case !ok || err != nil:
			return nil, fault.New(fault.Invalid, "%q is no rule; write an operation and for how long its answers are kept, "+
				"as getUsersMe=5m, or off", rule)
		case !known:
			return nil, fault.New(fault.Invalid, "X has no operation %q; write its operationId, as getUsersMe", id)
		case act.Method != "GET" || act.Stream || act.Binary:
			return nil, fault.New(fault.Invalid, "answers to %s cannot be kept; only those of reads that are JSON can", id)
		case ttl < time.Second || ttl > longest:
			return nil, fault.New(fault.Invalid, "%s is kept for 1s at least and 24h at most, not %s", id, long)
		case rules[id] != 0:
			return nil, fault.New(fault.Invalid, "%s is named twice", id)
		}
		rules[id] = ttl
	}
	return rules, nil
}
