package telemetry

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"perch/domain/secret"
)

// canary is in every planted secret; no handler may ever see it.
const canary = "CANARY"

type named string

func (n named) String() string { return "Bearer " + string(n) + "-xyzzy-xyzzy" }

type unmarshallable struct{ C chan int }

type holder struct {
	Name        string `json:"name"`
	AccessToken string `json:"access_token"`
	Inner       struct{ Note string }
}

type broken struct{}

func (*broken) Error() string { panic("nobody calls " + canary) }

func TestNoSecretReachesAHandler(t *testing.T) {
	held := holder{Name: "visible", AccessToken: canary}
	held.Inner.Note = "sk_" + canary + "0123456789"
	random := "ABCDEFGHIJKLMNOPQRST" + canary // as crypto/rand.Text
	for name, write := range map[string]func(*slog.Logger){
		"by name":        func(l *slog.Logger) { l.Info("m", "token", canary, "Client-Secret", canary, "code", canary) },
		"name in a case": func(l *slog.Logger) { l.Info("m", "X-Api-Key", canary, "newPassword", canary, "Set-Cookie", canary) },
		"message":        func(l *slog.Logger) { l.Info("got Authorization: Bearer " + canary + "-abcdefgh") },
		"basic":          func(l *slog.Logger) { l.Info("m", "h", "Basic "+canary+"QWxhZGRpbjpv") },
		"operator":       func(l *slog.Logger) { l.Info("m", "h", "op_"+canary+"ABCDEFGHIJ") },
		"secret key":     func(l *slog.Logger) { l.Info("m", "h", "sk_"+canary+"ABCDEFGHIJ") },
		"refresh token":  func(l *slog.Logger) { l.Info("m", "h", "rt_ses_abc."+canary+"."+canary) },
		"jwt":            func(l *slog.Logger) { l.Info("m", "h", "x eyJhbGciOi."+canary+"."+canary) },
		"random":         func(l *slog.Logger) { l.Info("m", "h", random) },
		"long":           func(l *slog.Logger) { l.Info("m", "h", strings.Repeat("aB3-", 12)+canary) },
		"query":          func(l *slog.Logger) { l.Info("GET /oauth/callback?state=" + canary + "&code=" + canary) },
		"form":           func(l *slog.Logger) { l.Info("m", "body", "code="+canary+"&refresh_token="+canary) },
		"json text":      func(l *slog.Logger) { l.Info("m", "body", `{"access_token": "`+canary+`\"`+canary+`"}`) },
		"error":          func(l *slog.Logger) { l.Info("m", "error", fmt.Errorf("x: %w", errors.New("a?code="+canary))) },
		"stringer":       func(l *slog.Logger) { l.Info("m", "who", named(canary)) },
		"bytes":          func(l *slog.Logger) { l.Info("m", "body", []byte("client_secret="+canary)) },
		"struct":         func(l *slog.Logger) { l.Info("m", "held", held) },
		"pointer":        func(l *slog.Logger) { l.Info("m", "held", &held) },
		"map": func(l *slog.Logger) {
			l.Info("m", "held", map[string]any{"a": []any{map[string]string{"token": canary}}})
		},
		"group":        func(l *slog.Logger) { l.Info("m", slog.Group("g", slog.Group("h", slog.String("cookie", canary)))) },
		"secret group": func(l *slog.Logger) { l.Info("m", slog.Group("token", slog.String("value", canary))) },
		"with":         func(l *slog.Logger) { l.With("refresh_token", canary, "a", "?state="+canary).Info("m") },
		"with group":   func(l *slog.Logger) { l.WithGroup("g").With("verifier", canary).Info("m", "key", canary) },
		"open group":   func(l *slog.Logger) { l.WithGroup("credentials").Info("m", "value", canary) },
		"secret.Text":  func(l *slog.Logger) { l.Info("m", "a", secret.New(canary), "b", []any{secret.New(canary)}) },
		"no JSON":      func(l *slog.Logger) { l.Info("m", "a", unmarshallable{}) },
		"panics":       func(l *slog.Logger) { l.Info("m", "a", (*broken)(nil)) },
	} {
		for _, format := range []string{"json", "text"} {
			t.Run(name+" as "+format, func(t *testing.T) {
				var out, other bytes.Buffer
				write(NewLogger(&out, "info", format, slog.NewJSONHandler(&other, nil)))
				for _, got := range []string{out.String(), other.String()} {
					if strings.Contains(got, canary) {
						t.Errorf("a secret was written: %s", got)
					}
					if got == "" {
						t.Error("nothing was written")
					}
				}
			})
		}
	}
}

func TestWhatIsNoSecretStays(t *testing.T) {
	var out bytes.Buffer
	l := NewLogger(&out, "debug", "text")
	l.WithGroup("g").Debug("refreshed grant_abcdefghijklmnopqrstuvwxyz",
		"app", "app_k3b5wz7vmtqhm6m6v2nq4dpr5e", "status", 200, "open", true, "pk", "pk_ABCDEF…XYZW",
		"url", "https://perch.example/2/tweets?max_results=10", "error", errors.New("dial tcp: connection refused"))
	want := `msg="refreshed grant_abcdefghijklmnopqrstuvwxyz" g.app=app_k3b5wz7vmtqhm6m6v2nq4dpr5e g.status=200 ` +
		`g.open=true g.pk=pk_ABCDEF…XYZW g.url="https://perch.example/2/tweets?max_results=10" ` +
		`g.error="dial tcp: connection refused"`
	if !strings.Contains(out.String(), want) {
		t.Errorf("got %s\nwant %s", out.String(), want)
	}
}

func TestLevels(t *testing.T) {
	for _, c := range []struct {
		level string
		at    slog.Level
		want  bool
	}{
		{"debug", slog.LevelDebug, true},
		{"info", slog.LevelDebug, false},
		{"warn", slog.LevelInfo, false},
		{"error", slog.LevelError, true},
		{"nonsense", slog.LevelInfo, true},
		{"nonsense", slog.LevelDebug, false},
	} {
		l := NewLogger(io.Discard, c.level, "json")
		if got := l.Enabled(context.Background(), c.at); got != c.want {
			t.Errorf("level %s shows %s: got %v, want %v", c.level, c.at, got, c.want)
		}
	}
}
