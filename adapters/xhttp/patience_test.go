package xhttp

import (
	"errors"
	"net/http"
	"strconv"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/secret"
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

// TestAWindowSaysNothingOfAnswersThatAreNone: X sends its headers along with them.
// Only what was asked too often waits for the end of the window.
func TestAWindowSaysNothingOfAnswersThatAreNone(t *testing.T) {
	for name, v := range map[string]struct {
		status int
		asks   string
		wait   time.Duration
	}{
		"a page":              {502, "", 0},
		"a page that asks":    {502, "17", 17 * time.Second},
		"elsewhere":           {302, "", 0},
		"elsewhere, and asks": {302, "17", 17 * time.Second},
	} {
		g := gateway(t, server(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("X-Rate-Limit-Remaining", "295")
			w.Header().Set("X-Rate-Limit-Reset", strconv.FormatInt(time.Now().Add(10*time.Minute).Unix(), 10))
			if v.asks != "" {
				w.Header().Set("Retry-After", v.asks)
			}
			w.WriteHeader(v.status)
		}))
		waits := func(err error) time.Duration {
			f, _ := errors.AsType[*fault.Error](err)
			if f == nil {
				return 0
			}
			return f.Wait
		}
		if got := waits(drop(g.Do(t.Context(), posting(t)))); got != v.wait {
			t.Errorf("%s: a call waits %v, want %v", name, got, v.wait)
		}
		if got := waits(drop(g.Refresh(t.Context(), confidential, secret.New("r")))); got != v.wait {
			t.Errorf("%s: a token waits %v, want %v", name, got, v.wait)
		}
	}
}
