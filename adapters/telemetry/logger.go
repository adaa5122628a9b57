// Package telemetry tells operators what Perch does. Every log record passes the
// redaction first, so that no handler behind it can show a secret.
package telemetry

import (
	"io"
	"log/slog"

	slogmulti "github.com/samber/slog-multi"
)

// NewLogger returns a logger that writes records of at least the level (debug,
// info, warn or error; else info) to w, as json or text, and hands them to the
// other handlers too. What looks like a secret is hidden from all of them.
func NewLogger(w io.Writer, level, format string, others ...slog.Handler) *slog.Logger {
	options := &slog.HandlerOptions{Level: levelOf(level)}
	var out slog.Handler = slog.NewJSONHandler(w, options)
	if format == "text" {
		out = slog.NewTextHandler(w, options)
	}
	handlers := append([]slog.Handler{out}, others...)
	return slog.New(slogmulti.Pipe(redact).Handler(slogmulti.Fanout(handlers...)))
}

func levelOf(name string) slog.Level {
	var level slog.Level // zero: info
	if err := level.UnmarshalText([]byte(name)); err != nil {
		return slog.LevelInfo
	}
	return level
}
