package config

import "fmt"

const counts = "PERCH_QUOTA"

// What becomes of calls while the store of counts does not answer, and how
// replicas share limits.
const (
	Closed = "closed"
	Open   = "open"
	Exact  = "exact"
	Block  = "block"
)

func (c Config) checkQuota() Mistakes {
	switch {
	case is(c.Quota, Redis):
		return checkRedis(counts, c.Quota)
	case c.Quota != c.Store:
		return checkStore(counts, c.Quota)
	}
	return nil
}

func (c Config) checkLimits() (m Mistakes) {
	if c.QuotaMode != Exact && c.QuotaMode != Block {
		m = append(m, Mistake{"PERCH_QUOTA_MODE", fmt.Sprintf("is %q; use exact or block", c.QuotaMode)})
	}
	if c.QuotaDown != Closed && c.QuotaDown != Open {
		m = append(m, Mistake{"PERCH_QUOTA_DOWN", fmt.Sprintf("is %q; use closed or open", c.QuotaDown)})
	}
	return m
}
