package config

import (
	"fmt"

	"perch/domain/quota"
)

// Rules are our own limits.
func (c Config) Rules() ([]quota.Rule, error) {
	if c.Limits == Off {
		return nil, nil
	}
	return quota.ParseRules(quota.Split(c.Limits))
}

// clientLimit is the variable that PERCH_LIMITS replaced.
const clientLimit = "PERCH_CLIENT_LIMIT_PER_MINUTE"

// replaced says what to write instead of a variable that is no more.
func (s *Source) replaced() Mistakes {
	value := s.vars[clientLimit]
	instead := fmt.Sprintf("PERCH_LIMITS=app:%s/m", value)
	switch value {
	case "":
		return nil
	case "0":
		instead = "PERCH_LIMITS=off"
	}
	return Mistakes{{clientLimit, "is no setting any more; write " + instead + " instead"}}
}
