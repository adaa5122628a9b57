package httpapi

import (
	"context"
	"log/slog"
	"net"
	"testing"
	"time"
)

// However soon after its start a server is stopped, Serve returns.
func TestShutdownDuringStart(t *testing.T) {
	for i := range 200 {
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		s := NewPublic(Config{PublicURL: "http://127.0.0.1"}, Services{}, slog.New(slog.DiscardHandler))
		served := make(chan error, 1)
		go func() { served <- s.Serve(ln) }()
		time.Sleep(time.Duration(i) * time.Microsecond)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("round %d: %v", i, err)
		}
		select {
		case err := <-served:
			if err != nil {
				t.Errorf("round %d: Serve returned %v", i, err)
			}
		case <-ctx.Done():
			t.Fatalf("round %d: Serve goes on after Shutdown", i)
		}
		cancel()
	}
}
