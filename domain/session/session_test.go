package session_test

import (
	"errors"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/session"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func TestRotate(t *testing.T) {
	s := session.Session{Current: "1", Expires: noon}
	var err error
	steps := []struct{ presented, next, current, previous string }{
		{"1", "2", "2", "1"},
		{"1", "2", "2", "1"}, // the reply was lost
		{"2", "3", "3", "2"},
	}
	for _, v := range steps {
		if s, err = s.Rotate(v.presented, v.next, noon); err != nil {
			t.Fatalf("%s: %v", v.presented, err)
		}
		if s.Current != v.current || s.Previous != v.previous || !s.Expires.After(noon) {
			t.Errorf("after %s: %+v", v.presented, s)
		}
	}
	for _, old := range []string{"1", "0"} {
		if _, err := s.Rotate(old, "x", noon); !errors.Is(err, fault.Conflict) {
			t.Errorf("token %q: %v", old, err)
		}
	}
}

func TestANewSessionHasNoPreviousToken(t *testing.T) {
	if _, err := (session.Session{Current: "1"}).Rotate("", "2", noon); err == nil {
		t.Error("an empty token is taken for the previous one")
	}
}

func TestGood(t *testing.T) {
	s := session.Session{Expires: noon}
	if !s.Good(noon.Add(-1)) || s.Good(noon) || s.End(noon.Add(-2)).Good(noon.Add(-1)) {
		t.Error("Good is wrong")
	}
	if again := s.End(noon).End(noon.Add(1)); !again.Revoked.Equal(noon) {
		t.Error("a session ends once")
	}
}

func TestASessionInACookieIsExtendedOnceADayAndNotForEver(t *testing.T) {
	const day = 24 * time.Hour
	s := session.Session{Cookie: true, Created: noon, Expires: noon.Add(session.SessionTTL)}
	written := 0
	now := noon
	for ; s.Good(now); now = now.Add(time.Hour) {
		if next, worth := s.Extend(now); worth {
			written++
			s = next
		}
	}
	if lasted := now.Sub(noon); lasted < session.CookieTTL || lasted > session.CookieTTL+time.Hour {
		t.Errorf("a session in use lasts for %v, want %v", lasted, session.CookieTTL)
	}
	if most := int((session.CookieTTL - session.SessionTTL) / day); written > most || written < most/2 {
		t.Errorf("it was written %d times, want at most %d", written, most)
	}
	for name, no := range map[string]session.Session{
		"one that has ended":   {Cookie: true, Created: noon, Expires: noon.Add(day), Revoked: noon},
		"one that has expired": {Cookie: true, Created: noon, Expires: noon.Add(-day)},
		"one with tokens":      {Created: noon, Expires: noon.Add(day)},
	} {
		if _, worth := no.Extend(noon.Add(2 * time.Hour)); worth {
			t.Errorf("%s is extended", name)
		}
	}
}
