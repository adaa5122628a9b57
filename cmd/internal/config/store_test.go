package config_test

import (
	"strings"
	"testing"

	"perch/cmd/internal/config"
)

func TestShownStoresHideTheirPasswords(t *testing.T) {
	for store, want := range map[string]string{
		"memory:":           "memory:",
		"sqlite:./perch.db": "sqlite:./perch.db",
		"postgres://perch:canary@db.example:6432/perch?sslmode=require": "postgres://perch@db.example:6432/perch",
		"postgresql://db.example/perch?password=canary&user=u":          "postgres://db.example/perch",
		"postgres:///perch?host=/run/pg&passfile=canary":                "postgres:///perch?host=/run/pg",
		"postgres://perch:canary#x@db.example/perch":                    "postgres:…",
		"postgres://perch:canary/x@db.example/perch":                    "postgres:…",
		"postgres:canary":                    "postgres:…",
		inD1:                                 inD1,
		"d1:canary":                          "d1:…",
		inKV:                                 inKV,
		"kv:canary":                          "kv:…",
		"redis://u:canary@h:6379/1?x=canary": "redis://u@h:6379/1",
		"rediss://:canary@h":                 "rediss://@h",
		"unix://u:canary@/run/s":             "unix://u@/run/s",
		"redis:canary":                       "redis:…",
		"redis://u:canary#x@h":               "redis:…",
		"mysql://root:canary@db/x":           "mysql:…",
		"canary":                             ":…",
	} {
		got := config.Shown(store)
		if got != want {
			t.Errorf("%s is shown as %s, want %s", store, got, want)
		}
		if strings.Contains(got, "canary") {
			t.Errorf("%s shows its password: %s", store, got)
		}
	}
	c := config.Config{Store: "postgres://u:canary@h/d", Quota: "postgres://u:canary@h/q"}.Settled()
	for _, s := range c.Show() {
		if strings.Contains(s.Value, "canary") {
			t.Errorf("%s shows a password: %s", s.Variable, s.Value)
		}
	}
}

func TestBackend(t *testing.T) {
	for store, want := range map[string]string{
		"postgres://h/d": "postgres", "postgresql://h/d": "postgres", "sqlite:x": "sqlite", "memory:": "memory", "x": "",
	} {
		if kind, _ := config.Backend(store); kind != want {
			t.Errorf("%s is of kind %q, want %q", store, kind, want)
		}
	}
}
