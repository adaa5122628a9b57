package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"perch/adapters/redis"
	"perch/domain/fault"
	"perch/ports"
	"perch/ports/conformance"
	"perch/ports/conformance/redistest"
)

func open(t *testing.T, url string) *redis.Store {
	t.Helper()
	s, err := redis.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	conformance.Verified(t, "redis")
	t.Run("Heads", func(t *testing.T) {
		conformance.Heads(t, func(t *testing.T) ports.Heads { return open(t, redistest.URL(t)).Heads() })
	})
	t.Run("QuotaStore", func(t *testing.T) {
		conformance.QuotaStore(t, func(t *testing.T) ports.QuotaStore { return openQuota(t, redistest.URL(t)).Quota() })
	})
	t.Run("Clock", func(t *testing.T) {
		conformance.Clock(t, func(t *testing.T) ports.Clock { return open(t, redistest.URL(t)) })
	})
}

func TestTwoPerchesShareOneRedis(t *testing.T) {
	url := redistest.URL(t)
	one, two := open(t, url), open(t, url)
	if err := one.Heads().Advance(t.Context(), 0, ports.Head{ID: "a", Version: 1}); err != nil {
		t.Fatal(err)
	}
	if err := two.Heads().Advance(t.Context(), 0, ports.Head{ID: "a", Version: 1}); !errors.Is(err, fault.Conflict) {
		t.Errorf("the same head by another: %v, want a conflict", err)
	}
	apart := open(t, redistest.URL(t))
	if _, err := apart.Heads().Get(t.Context(), "a"); !errors.Is(err, fault.NotFound) {
		t.Errorf("under another prefix: %v, want not found", err)
	}
}

func TestRedisThatRestarts(t *testing.T) {
	server := redistest.Start(t)
	s := open(t, server.URL())
	h := ports.Head{ID: "a", Version: 1, Body: "kept"}
	if err := s.Heads().Advance(t.Context(), 0, h); err != nil {
		t.Fatal(err)
	}
	server.Down(t)
	start := time.Now()
	_, err := s.Heads().Get(t.Context(), "a")
	if !errors.Is(err, fault.Unavailable) || !errors.Is(s.Ping(t.Context()), fault.Unavailable) {
		t.Errorf("while it is down: %v, want unavailable", err)
	}
	if took := time.Since(start); took > time.Minute {
		t.Errorf("that took %v to find out", took)
	}
	server.Up(t)
	if got, err := s.Heads().Get(t.Context(), "a"); err != nil || got != h {
		t.Errorf("after its return: %+v, %v", got, err)
	}
	if err := s.Heads().Advance(t.Context(), 1, ports.Head{ID: "a", Version: 2}); err != nil {
		t.Errorf("after its return, Advance: %v", err)
	}
}

func TestRedisThatMayForgetIsRefused(t *testing.T) {
	for _, c := range []struct {
		name     string
		settings []string
		say      string
	}{
		{"eviction", []string{"--maxmemory", "100mb", "--maxmemory-policy", "allkeys-lru"}, "maxmemory-policy noeviction"},
		{"no log", []string{"--appendonly", "no"}, "appendonly yes"},
		{"snapshots", []string{"--appendonly", "no", "--save", "60 1"}, "appendonly yes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := redistest.Start(t, c.settings...)
			if _, err := redis.Open(t.Context(), server.URL()); err == nil || !strings.Contains(err.Error(), c.say) {
				t.Errorf("got %v, want what to do: %s", err, c.say)
			}
			open(t, server.URL()+"?durable=unchecked")
		})
	}
	good := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "volatile-lru", "--appendfsync", "always")
	if s := open(t, good.URL()); len(s.Notices()) != 0 {
		t.Errorf("of one that keeps everything: %q", s.Notices())
	}
	hasty := redistest.Start(t, "--appendfsync", "everysec")
	if s := open(t, hasty.URL()); len(s.Notices()) != 1 || !strings.Contains(s.Notices()[0], "everysec") {
		t.Errorf("of one that writes every second: %q", s.Notices())
	}
}

func TestErrorsDoNotShowPasswords(t *testing.T) {
	for _, url := range []string{
		"redis://u:canary@127.0.0.1:1", "rediss://u:canary@127.0.0.1:1/0", "redis://u:canary#x@127.0.0.1:1",
		"redis://u:canary@127.0.0.1:1/x", "redis://u:canary@127.0.0.1:canary", "redis:canary", "http://u:canary@h",
		"redis://u:canary@127.0.0.1?tls=canary", "redis://u:canary@127.0.0.1?what=canary", "unix://u:canary@/none",
		"redis://u:can\x00ary@h",
	} {
		s, err := redis.Open(t.Context(), url)
		if err == nil {
			t.Errorf("%s was opened", url)
			_ = s.Close()
			continue
		}
		if strings.Contains(err.Error(), "canary") || strings.Contains(err.Error(), "can\x00ary") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
	server := redistest.Start(t, "--requirepass", "right")
	if _, err := redis.Open(t.Context(), "unix://:canary@"+strings.TrimPrefix(server.URL(), "unix://")); err == nil ||
		strings.Contains(err.Error(), "canary") {
		t.Errorf("a wrong password: %v", err)
	}
	open(t, "unix://:right@"+strings.TrimPrefix(server.URL(), "unix://"))
}
