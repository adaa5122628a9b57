package sqlstore

import (
	"testing"
)

// Nothing travels in the clear to another machine unless the URL says so, in
// whatever way it names the machine, and whatever variables say.
func TestWhoIsSpokenToInTheClear(t *testing.T) {
	const (
		open     = "in the clear"
		either   = "in TLS if the server can"
		tls      = "in TLS"
		verified = "in TLS, with proof"
	)
	t.Setenv("PGSSLMODE", "disable")
	for dsn, want := range map[string]string{
		"postgres://u@db.example/d":                                 verified,
		"postgresql://u:p@10.0.0.1:6432/d":                          verified,
		"postgres://u@/d?host=db.example":                           verified,
		"postgres://u@127.0.0.1/d?host=db.example":                  verified,
		"postgres://u@/d?host=localhost,db.example":                 verified,
		"postgres://u@localhost.example/d":                          verified,
		"postgres://u@db.example/d?sslmode=verify-full":             verified,
		"postgres://u@db.example/d?sslmode=require":                 tls,
		"postgres://u@db.example/d?sslmode=disable":                 open,
		"postgres://u@127.0.0.1/d":                                  either,
		"postgres://u@[::1]/d":                                      either,
		"postgres://u@localhost/d":                                  either,
		"postgres://u@127.0.0.1/d?sslmode=disable":                  open,
		"postgres://u@127.0.0.1/d?sslmode=verify-full":              verified,
		"postgres://u@/d?host=/var/run/postgresql":                  open,
		"postgres://u@/d?host=/var/run/postgresql&sslmode=disable":  open,
		"postgres://u@/d?host=127.0.0.1,/var/run/postgresql&port=1": either,
	} {
		settings, err := postgresSettings(dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		got := open
		if c := settings.TLSConfig; c != nil {
			got = verified
			if c.InsecureSkipVerify {
				got = tls
			}
			for _, f := range settings.Fallbacks {
				if f.TLSConfig == nil {
					got = either
				}
			}
		}
		if got != want {
			t.Errorf("%s is spoken to %s, want %s", dsn, got, want)
		}
	}
}

func TestASettingOfTLSThatContradictsItselfIsRefused(t *testing.T) {
	for _, dsn := range []string{
		"postgres://u@db.example/d?sslmode=verify-full&sslmode=disable", "postgres://u@db.example/d?sslmode=disable&sslmode=verify-full",
		"postgres://u@db.example/d?sslmode=verify-full%20", "postgres://u@db.example/d?sslmode=", "postgres://u@127.0.0.1/d?sslmode=prefer",
	} {
		if settings, err := postgresSettings(dsn); err == nil {
			t.Errorf("%s is taken: %+v", dsn, settings.TLSConfig)
		}
	}
}
