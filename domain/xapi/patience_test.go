package xapi_test

import (
	"testing"
	"time"

	"perch/domain/xapi"
)

func TestHowLongXAsksToBeLeftAlone(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for name, v := range map[string]struct {
		said []string
		want time.Duration
	}{
		"nothing":         {nil, 0},
		"seconds":         {[]string{"90"}, 90 * time.Second},
		"less than none":  {[]string{"-90"}, 0},
		"a date":          {[]string{"Thu, 26 Nov 2026 12:10:00 GMT"}, 10 * time.Minute},
		"an old date":     {[]string{"Thursday, 26-Nov-26 12:10:00 GMT"}, 10 * time.Minute},
		"a date of C":     {[]string{"Thu Nov 26 12:10:00 2026"}, 10 * time.Minute},
		"a date gone by":  {[]string{"Thu, 26 Nov 2026 11:00:00 GMT"}, 0},
		"no time at all":  {[]string{"soon"}, 0},
		"several":         {[]string{"30", "Thu, 26 Nov 2026 12:01:00 GMT", "x"}, time.Minute},
		"more than a day": {[]string{"99999999999999"}, 24 * time.Hour},
		"next year":       {[]string{"Sat, 26 Nov 2027 12:00:00 GMT"}, 24 * time.Hour},
	} {
		if got := xapi.RetryAfter(v.said, now); got != v.want {
			t.Errorf("%s: %v, want %v", name, got, v.want)
		}
	}
}
