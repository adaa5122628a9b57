package telemetry

import (
	"context"
	"encoding"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
)

// hidden stands where a secret was.
const hidden = "[secret]"

// A redactor hides secrets from the handler behind it.
type redactor struct {
	next   slog.Handler
	veiled bool // inside a group whose name promises secrets
}

func redact(next slog.Handler) slog.Handler { return redactor{next: next} }

// Enabled implements slog.Handler.
func (r redactor) Enabled(ctx context.Context, level slog.Level) bool {
	return r.next.Enabled(ctx, level)
}

// Handle implements slog.Handler.
func (r redactor) Handle(ctx context.Context, in slog.Record) error {
	out := slog.NewRecord(in.Time, in.Level, scrub(in.Message), in.PC)
	in.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(r.attr(a))
		return true
	})
	return r.next.Handle(ctx, out)
}

// WithAttrs implements slog.Handler.
func (r redactor) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = r.attr(a)
	}
	return redactor{r.next.WithAttrs(clean), r.veiled}
}

// WithGroup implements slog.Handler.
func (r redactor) WithGroup(name string) slog.Handler {
	if name == "" {
		return r
	}
	return redactor{r.next.WithGroup(name), r.veiled || secretName(name)}
}

func (r redactor) attr(a slog.Attr) slog.Attr {
	if r.veiled || secretName(a.Key) {
		return slog.String(a.Key, hidden)
	}
	return slog.Attr{Key: a.Key, Value: r.value(a.Value)}
}

func (r redactor) value(v slog.Value) slog.Value {
	v = v.Resolve()
	switch v.Kind() {
	case slog.KindString:
		return slog.StringValue(scrub(v.String()))
	case slog.KindGroup:
		var clean []slog.Attr
		for _, a := range v.Group() {
			clean = append(clean, r.attr(a))
		}
		return slog.GroupValue(clean...)
	case slog.KindAny:
		return anyValue(v.Any())
	case slog.KindBool, slog.KindDuration, slog.KindFloat64, slog.KindInt64, slog.KindTime, slog.KindUint64,
		slog.KindLogValuer:
	}
	return v
}

// anyValue looks inside values that only the handlers would take apart.
func anyValue(v any) (out slog.Value) {
	defer func() {
		if recover() != nil { // a nil pointer's String, say
			out = slog.StringValue(fmt.Sprintf("[a %T that cannot be shown]", v))
		}
	}()
	switch v := v.(type) {
	case nil:
		return slog.AnyValue(nil)
	case error:
		return slog.StringValue(scrub(v.Error()))
	case encoding.TextMarshaler:
		text, err := v.MarshalText()
		if err != nil {
			return slog.StringValue(fmt.Sprintf("[a %T that cannot be shown]", v))
		}
		return slog.StringValue(scrub(string(text)))
	case fmt.Stringer:
		return slog.StringValue(scrub(v.String()))
	case []byte:
		return slog.StringValue(scrub(string(v)))
	}
	return slog.AnyValue(plain(v))
}

// plain turns a value into maps, lists and texts, as JSON would have them, with
// its secrets hidden.
func plain(v any) any {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("[a %T that cannot be shown]", v)
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	var out any
	if err := decoder.Decode(&out); err != nil {
		return fmt.Sprintf("[a %T that cannot be shown]", v)
	}
	return scrubbed(out)
}

func scrubbed(v any) any {
	switch v := v.(type) {
	case string:
		return scrub(v)
	case []any:
		for i := range v {
			v[i] = scrubbed(v[i])
		}
	case map[string]any:
		for name := range v {
			if secretName(name) {
				v[name] = hidden
				continue
			}
			v[name] = scrubbed(v[name])
		}
	}
	return v
}
