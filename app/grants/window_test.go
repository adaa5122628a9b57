package grants_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/xhttp"
	"perch/app/grants"
	"perch/ports"
)

// stopwatch is a journal that notes when it was asked to keep.
type stopwatch struct {
	ports.Journal
	kept atomic.Int64
}

func (s *stopwatch) Keep(ctx context.Context, r ports.Renewal) error {
	s.kept.Store(time.Now().UnixNano())
	return s.Journal.Keep(ctx, r)
}

// BenchmarkAnswerToJournal measures how long what X gave is in memory alone: from
// the moment in which X has written its answer until the journal has it to keep.
func BenchmarkAnswerToJournal(b *testing.B) {
	h := newHouse(b)
	var answered atomic.Int64
	x := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.x.ServeHTTP(w, r)
		answered.Store(time.Now().UnixNano())
	}))
	b.Cleanup(x.Close)
	gateway, err := xhttp.New(xhttp.Config{APIURL: x.URL})
	if err != nil {
		b.Fatal(err)
	}
	watch := &stopwatch{Journal: h.parts.Journal}
	h.parts.X, h.parts.Journal = gateway, watch
	h.Service = grants.New(h.parts)
	g, window := h.connected(), time.Duration(0)
	for b.Loop() {
		stale, err := h.vault.Swap(b.Context(), g, g.Stale(time.Now().UTC().Truncate(time.Microsecond)))
		if err != nil {
			b.Fatal(err)
		}
		if _, err := h.Access(b.Context(), stale); err != nil {
			b.Fatal(err)
		}
		window += time.Duration(watch.kept.Load() - answered.Load())
		g = h.read(g.ID)
	}
	b.ReportMetric(float64(window.Microseconds())/float64(b.N), "µs-window")
}
