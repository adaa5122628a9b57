package wiring_test

import (
	"net/http"
	"strconv"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/cmd/internal/config"
)

// TestWhatXRefusedIsHeldAsLongAsTheClientIsTold: with its windows kept, Perch holds
// a window of which X says nothing to its published end, and says so at once.
func TestWhatXRefusedIsHeldAsLongAsTheClientIsTold(t *testing.T) {
	for _, name := range []string{"rate_limit", "rate_limit_bare"} {
		began := time.Now()
		s := suffer(t, func(cfg *config.Config) { cfg.XWindows = "on" })
		s.begin(misfortune{mischief: xsim.Mischief{Kind: name}})
		for what, call := range map[string]func(*testing.T) end{"read": s.read, "post": s.post} {
			first, then := call(t), call(t)
			passed := int(time.Since(began).Seconds()) + 2 // at the most, in whole seconds
			told, _ := strconv.Atoi(first.wait)
			held, _ := strconv.Atoi(then.wait)
			if first.status != http.StatusTooManyRequests || first.asked != 1 || told < 900-passed || told > 902 {
				t.Errorf("%s: a %s gets %+v", name, what, first)
			}
			if then.problem != "x-rate-limit" || then.asked != 0 || told-held > passed || held > told {
				t.Errorf("%s: after %d seconds to wait a %s gets %+v", name, told, what, then)
			}
		}
	}
}
