package oauth

import (
	"testing"
	"time"
)

func TestSupersedes(t *testing.T) {
	given := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	at := func(generation int64, state State, created time.Time) Grant {
		return Grant{Generation: generation, State: state, Created: created}
	}
	anew := given.Add(time.Hour)
	for _, c := range []struct {
		name   string
		g, old Grant
		want   bool
	}{
		{"the same", at(3, Active, given), at(3, Active, given), false},
		{"newer tokens", at(4, Active, given), at(3, Active, given), true},
		{"newer tokens that X doubts", at(4, Suspect, given), at(3, Active, given), true},
		{"older tokens", at(2, Active, given), at(3, Active, given), false},
		{"ended", at(3, Revoked, given), at(3, Active, given), true},
		{"ended with older tokens", at(2, Revoked, given), at(3, Active, given), false},
		{"what has ended, with newer tokens", at(4, Active, given), at(3, Revoked, given), false},
		{"both ended", at(3, Revoked, given), at(3, Revoked, given), false},
		{"given anew", at(4, Active, anew), at(3, Revoked, given), true},
		{"given anew, with older tokens", at(2, Active, anew), at(3, Revoked, given), false},
	} {
		if got := c.g.Supersedes(c.old); got != c.want {
			t.Errorf("%s: got %v", c.name, got)
		}
	}
}
