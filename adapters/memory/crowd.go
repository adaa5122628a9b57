package memory

import (
	"hash/maphash"
	"strconv"
	"strings"
	"time"

	"perch/domain/quota"
)

// mostOfCrowd is how many of one kind of crowd a limit counts each by itself, and
// manyTogether in how many buckets it counts all others.
const (
	mostOfCrowd  = 100_000
	manyTogether = 4096
)

// A census knows, for one limit and one kind of crowd, who is counted by itself: by
// hashes, of which the old ones are forgotten when the young ones have stayed as long
// as go-limiter keeps a bucket that nobody uses.
type census struct {
	young, old map[uint64]struct{}
	turned     time.Time
}

// counts reports whether the one is counted by itself. Who is new is taken in while
// fewer than the most are.
func (c *census) counts(one uint64, now time.Time, stay time.Duration, most int) bool {
	if since := now.Sub(c.turned); since >= stay {
		c.old = c.young
		if since >= 2*stay {
			c.old = nil
		}
		c.young, c.turned = map[uint64]struct{}{}, now
	}
	if _, known := c.young[one]; known {
		return true
	}
	if _, known := c.old[one]; !known && len(c.young)+len(c.old) >= most {
		return false
	}
	delete(c.old, one)
	c.young[one] = struct{}{}
	return true
}

// crowded returns the charge as it is counted: by the crowd's name where too many of
// its kind are counted by themselves. Those of a crowd that share a bucket with another
// are given less, never more.
func (q *Quota) crowded(c quota.Charge) (quota.Charge, error) {
	if c.Crowd == "" || c.Theirs || c.Max < 1 || c.Window <= 0 {
		return c, nil
	}
	limit := quota.Limit{Max: c.Max, Window: c.Window}
	n, err := q.counter(limit)
	if err != nil {
		return c, err
	}
	kind, _, _ := strings.Cut(c.Crowd, ":")
	if n.crowds[kind] == nil {
		n.crowds[kind] = &census{}
	}
	p := policy(limit)
	if !n.crowds[kind].counts(maphash.String(q.seed, c.Key), n.used, p.SweepMinTTL+p.SweepInterval, q.most) {
		c.Key = kind + ":*" + strconv.FormatUint(maphash.String(q.seed, c.Crowd)%manyTogether, 10)
	}
	return c, nil
}
