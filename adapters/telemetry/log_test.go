package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/audit"
	"perch/domain/fault"
)

func operation() audit.Event {
	return audit.Event{
		Request: "req1", Actor: "key_a", App: "app_a", XApp: "default", Grant: "grant_a", User: "42",
		Verb: "createPosts", Outcome: audit.Done, Status: 201, Transaction: "0123456789abcdef",
		Duration: 1500 * time.Microsecond,
	}
}

func TestLogWritesALineForEachOperation(t *testing.T) {
	done := map[string]any{
		"level": "INFO", "msg": "operation", "request": "req1", "actor": "key_a", "app": "app_a", "x_app": "default",
		"grant": "grant_a", "user": "42", "action": "createPosts", "outcome": "done", "status": 201.0,
		"transaction": "0123456789abcdef", "duration_ms": 1.5,
	}
	refused := operation()
	refused.Outcome, refused.Status = audit.Refused, 0
	refused.Err = fault.New(fault.Limited, "too many calls").Because(errors.New("inside"))
	failed := operation()
	failed.Outcome, failed.Status = audit.Failed, 0
	failed.Err = fault.New(fault.Unavailable, "X cannot be reached").Because(errors.New("access_token=CANARY"))
	no := operation() // of X's, which is no mistake of ours
	no.Outcome, no.Status = audit.Failed, 400
	broken := no
	broken.Status = 503
	wrong := audit.Event{Verb: "grant.refresh", Outcome: audit.Failed, Err: errors.New("a mistake of ours")}

	for name, c := range map[string]struct {
		event audit.Event
		want  map[string]any
	}{
		"done": {operation(), done},
		"refused": {refused, with(without(done, "status"), map[string]any{
			"outcome": "refused", "kind": "limit reached", "say": "too many calls",
		})},
		"failed": {failed, with(without(done, "status"), map[string]any{
			"level": "WARN", "outcome": "failed", "kind": "unavailable", "say": "X cannot be reached",
			"cause": "X cannot be reached: access_token=[secret]",
		})},
		"X says no":       {no, with(without(done, ""), map[string]any{"outcome": "failed", "status": 400.0})},
		"X is in trouble": {broken, with(without(done, ""), map[string]any{"level": "WARN", "outcome": "failed", "status": 503.0})},
		"ours": {wrong, map[string]any{
			"level": "ERROR", "msg": "operation", "action": "grant.refresh", "outcome": "failed", "duration_ms": 0.0,
			"kind": "internal error", "cause": "a mistake of ours",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			NewLog(NewLogger(&out, "info", "json")).Observe(context.Background(), c.event)
			var got map[string]any
			if err := json.Unmarshal(out.Bytes(), &got); err != nil {
				t.Fatalf("%q: %v", out.String(), err)
			}
			delete(got, "time")
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("line (-want +got):\n%s", diff)
			}
		})
	}
}

func with(m, more map[string]any) map[string]any {
	for k, v := range more {
		m[k] = v
	}
	return m
}

func without(m map[string]any, name string) map[string]any {
	out := with(map[string]any{}, m)
	delete(out, name)
	return out
}

func BenchmarkLog(b *testing.B) {
	o := NewLog(NewLogger(io.Discard, "info", "json"))
	e := operation()
	b.ReportAllocs()
	for b.Loop() {
		o.Observe(context.Background(), e)
	}
}
