package redis_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"perch/adapters/redis"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports/conformance/redistest"
)

func openQuota(t *testing.T, url string) *redis.Store {
	t.Helper()
	s, err := redis.OpenQuotaPatiently(t.Context(), url)
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

func TestARedisForCountsNeedNotKeepThemButSaysIfItDropsThem(t *testing.T) {
	forgetful := redistest.Start(t, "--appendonly", "no", "--maxmemory", "100mb", "--maxmemory-policy", "noeviction")
	if s := openQuota(t, forgetful.URL()); len(s.Notices()) != 0 {
		t.Errorf("of one that drops nothing: %q", s.Notices())
	}
	full := redistest.Start(t, "--maxmemory", "100mb", "--maxmemory-policy", "volatile-ttl")
	if s := openQuota(t, full.URL()); len(s.Notices()) != 1 || !strings.Contains(s.Notices()[0], "volatile-ttl") {
		t.Errorf("of one that drops counts: %q", s.Notices())
	}
}

func TestARedisForCountsMayComeLater(t *testing.T) {
	server := redistest.Start(t)
	server.Down(t)
	s := openQuota(t, server.URL())
	if len(s.Notices()) != 1 || !strings.Contains(s.Notices()[0], "does not answer") {
		t.Errorf("of one that is away: %q", s.Notices())
	}
	charges := []quota.Charge{{Key: "k", Max: 1, Window: time.Hour}}
	if _, err := s.Quota().Spend(t.Context(), time.Now(), charges); !errors.Is(err, fault.Unavailable) {
		t.Errorf("while it is away: got error %v, want unavailable", err)
	}
	server.Up(t)
	if v, err := s.Quota().Spend(t.Context(), time.Now(), charges); err != nil || !v.Allowed {
		t.Errorf("when it has come: %+v, %v", v, err)
	}
}

func TestCountsInRedisHaveAnEnd(t *testing.T) {
	server := redistest.Start(t)
	s, at := openQuota(t, server.URL()), time.Now()
	_, err := s.Quota().Spend(t.Context(), at, []quota.Charge{
		{Key: "ours", Max: 5, Window: time.Minute}, {Key: "guessed", Max: 5, Window: time.Minute, Theirs: true},
	})
	if err == nil {
		err = s.Quota().Note(t.Context(), at, []quota.Note{{Key: "noted", Max: 5, Reset: at.Add(time.Minute)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(&goredis.Options{Network: "unix", Addr: strings.TrimPrefix(server.URL(), "unix://")})
	defer func() { _ = c.Close() }()
	keys, err := c.Keys(t.Context(), "*").Result()
	if err != nil || len(keys) != 3 {
		t.Fatalf("there are the keys %q, %v; want three", keys, err)
	}
	for _, key := range keys {
		want := time.Minute
		if strings.Contains(key, ":x:") {
			want += 24 * time.Hour
		}
		left, err := c.TTL(t.Context(), key).Result()
		if err != nil || left > want+time.Second || left < want-30*time.Second {
			t.Errorf("%s ends in %v, %v; want about %v", key, left, err, want)
		}
	}
}
