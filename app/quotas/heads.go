package quotas

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"perch/domain/quota"
)

// The headers of draft-ietf-httpapi-ratelimit-headers-10, in the spelling that
// reply headers have here.
const (
	policyHeader = "Ratelimit-Policy"
	limitHeader  = "Ratelimit"
)

// heads says in headers which limits of ours count the call and what is left of
// each, in the order of the standings.
func heads(all []standing) map[string]string {
	if len(all) == 0 {
		return nil
	}
	policies, limits := make([]string, len(all)), make([]string, len(all))
	for i, s := range all {
		policies[i] = fmt.Sprintf("%q;q=%d;w=%d", s.rule.Name(), s.rule.Max, int64(s.rule.Window/time.Second))
		limits[i] = fmt.Sprintf("%q;r=%d;t=%d", s.rule.Name(), max(s.left.Remaining, 0), seconds(s.until))
	}
	return map[string]string{policyHeader: strings.Join(policies, ", "), limitHeader: strings.Join(limits, ", ")}
}

// seconds is rounded up: who waits that long has waited long enough.
func seconds(d time.Duration) int64 { return int64(math.Ceil(max(d, 0).Seconds())) }

// xHeads are the headers in which X says how much of a window is left, as clients
// of X read them. Those of a day's window say it twice.
func xHeads(w window, limit int64, reset time.Time) map[string]string {
	out := map[string]string{}
	if limit >= unknownMax {
		return out
	}
	prefixes := []string{"X-Rate-Limit-"}
	if p, ok := families[w.span]; ok && w.span != quota.Short {
		prefixes = append(prefixes, p)
	}
	for _, p := range prefixes {
		out[p+"Limit"] = strconv.FormatInt(limit, 10)
		out[p+"Remaining"] = "0"
		out[p+"Reset"] = strconv.FormatInt(int64(math.Ceil(float64(reset.UnixMilli())/1000)), 10)
	}
	return out
}
