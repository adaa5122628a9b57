package quota_test

import (
	"testing"
	"time"

	"perch/domain/quota"
)

func TestARuleSaysInWordsWhatItAllows(t *testing.T) {
	for text, want := range map[string]string{
		"app:6000/m":          "6000 calls in a minute",
		"key:1/s":             "1 call in a second",
		"grant/write:5/m":     "5 writes in a minute",
		"grant/read:1/15m":    "1 read in 15 minutes",
		"app/messages:2/h":    "2 calls for messages in an hour",
		"app/media:9/d":       "9 calls for media in a day",
		"app/post:3/36h":      "3 calls to post in 36 hours",
		"app/engage:3/2d":     "3 calls to engage in 2 days",
		"app/createPosts:1/d": "1 call of createPosts in a day",
		"app:7/90s":           "7 calls in 90 seconds",
	} {
		r, err := quota.ParseRule(text)
		if err != nil || r.Words() != want {
			t.Errorf("%s is %q, want %q (%v)", text, r.Words(), want, err)
		}
	}
}

func TestATimeIsSaidInWords(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "1 s", time.Nanosecond: "1 s", 48*time.Second + 1: "49 s", 2 * time.Minute: "120 s", 2*time.Minute + 1: "3 min",
		2 * time.Hour: "120 min", 2*time.Hour + 1: "3 h", 72 * time.Hour: "72 h",
	} {
		if got := quota.Soon(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}
