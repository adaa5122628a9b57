package telemetry

import (
	"context"
	"errors"
	"log/slog"

	"perch/domain/audit"
	"perch/domain/fault"
	"perch/ports"
)

// Log is a ports.Observer that writes a line for each operation.
type Log struct{ log *slog.Logger }

var _ ports.Observer = (*Log)(nil)

// NewLog returns an observer that writes to log.
func NewLog(log *slog.Logger) *Log { return &Log{log} }

// Observe writes who did what, to what, and how it ended. What was not part of
// the operation is left out.
func (l *Log) Observe(ctx context.Context, e audit.Event) {
	attrs := make([]slog.Attr, 0, 16)
	for _, a := range []slog.Attr{
		slog.String("request", e.Request),
		slog.String("actor", e.Actor),
		slog.String("address", address(e)),
		slog.String("app", string(e.App)),
		slog.String("action", e.Verb),
		slog.String("grant", string(e.Grant)),
		slog.String("x_app", string(e.XApp)),
		slog.String("user", string(e.User)),
		slog.String("target", e.Target),
		slog.String("outcome", string(e.Outcome)),
		slog.String("transaction", e.Transaction),
	} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if e.Status != 0 {
		attrs = append(attrs, slog.Int("status", e.Status))
	}
	attrs = append(attrs, slog.Float64("duration_ms", float64(e.Duration.Microseconds())/1000))
	if e.Err != nil {
		attrs = append(attrs, why(e)...)
	}
	l.log.LogAttrs(ctx, level(e), "operation", attrs...)
}

func address(e audit.Event) string {
	if !e.Address.IsValid() {
		return ""
	}
	return e.Address.String()
}

// why is what the client was told, and where something broke also its cause.
func why(e audit.Event) []slog.Attr {
	attrs := []slog.Attr{slog.String("kind", fault.KindOf(e.Err).Error())}
	if f, ok := errors.AsType[*fault.Error](e.Err); ok && f.Say != "" {
		attrs = append(attrs, slog.String("say", f.Say))
	}
	if e.Outcome == audit.Failed {
		attrs = append(attrs, slog.String("cause", e.Err.Error()))
	}
	return attrs
}

// level makes our own mistakes stand out, and what we refuse the everyday thing
// it is.
func level(e audit.Event) slog.Level {
	switch {
	case e.Outcome != audit.Failed, e.Err == nil && e.Status < 500: // X said no, as it may
		return slog.LevelInfo
	case e.Err != nil && fault.KindOf(e.Err) == fault.Internal:
		return slog.LevelError
	}
	return slog.LevelWarn
}
