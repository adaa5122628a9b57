package xhttp

import (
	"net/http"
	"testing"
	"time"

	"perch/domain/xapi"
)

// TestHowLongXIsLeftAlone: X's Retry-After goes before the end of its window, and
// what cannot be true is as if it were not there.
func TestHowLongXIsLeftAlone(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC) // 1795694400
	for name, v := range map[string]struct {
		after       []string
		reset       []string
		asks, waits time.Duration
	}{
		"nothing":                {nil, nil, 0, 0},
		"seconds":                {[]string{"90"}, []string{"1795694410"}, 90 * time.Second, 90 * time.Second},
		"a date":                 {[]string{"Thu, 26 Nov 2026 12:01:00 GMT"}, nil, time.Minute, time.Minute},
		"a date of yesterday":    {[]string{"Wed, 25 Nov 2026 12:01:00 GMT"}, nil, 0, 0},
		"a year":                 {[]string{"31536000"}, nil, 24 * time.Hour, 24 * time.Hour},
		"beyond all numbers":     {[]string{"99999999999999999999"}, nil, 0, 0},
		"nearly so":              {[]string{"9223372036854775807"}, nil, 24 * time.Hour, 24 * time.Hour},
		"below zero":             {[]string{"-5"}, nil, 0, 0},
		"several":                {[]string{"soon", "20", "NaN", "10"}, nil, 20 * time.Second, 20 * time.Second},
		"the window's end":       {nil, []string{"1795694410"}, 0, 10 * time.Second},
		"nonsense, and an end":   {[]string{"soon"}, []string{"1795694410"}, 0, 10 * time.Second},
		"an end that is over":    {nil, []string{"1795694300"}, 0, 0},
		"an end days away":       {nil, []string{"1795953600"}, 0, 0},
		"an end in milliseconds": {nil, []string{"1795694410000"}, 0, 0},
		"an end that is no end":  {nil, []string{"Inf"}, 0, 0},
	} {
		h := http.Header{"Retry-After": v.after, "X-Rate-Limit-Reset": v.reset}
		if asked, wait := xapi.RetryAfter(h["Retry-After"], now), retryAfter(h, now); asked != v.asks || wait != v.waits {
			t.Errorf("%s: X asks for %v, is left alone for %v, want %v and %v", name, asked, wait, v.asks, v.waits)
		}
	}
}
