// Package conformance holds one suite per port. Whatever keeps a port passes
// its suite, so adapters can stand in for one another. Each check is one
// sentence of the contract, and its name is that sentence.
//
// The suites reach an adapter through its port alone. They need no fixed clock
// and no empty machine, so they also run against databases on the network.
package conformance

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"perch/domain/fault"
)

// A check is one sentence of a contract and what proves it. Each check gets a
// fresh, empty adapter.
type check[P any] struct {
	name string
	run  func(t *testing.T, p P)
}

func run[P any](t *testing.T, open func(*testing.T) P, checks []check[P]) {
	t.Helper()
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { c.run(t, open(t)) })
	}
}

// at is a moment that only a store exact to the microsecond gives back; times
// in the suites are some minutes around it.
func at(minutes int) time.Time {
	return time.Date(2026, 11, 23, 12, 0, 0, 123457000, time.UTC).Add(time.Duration(minutes) * time.Minute)
}

// fine is at(minutes) as a careless caller writes it: in another zone and with
// nanoseconds. Stores give back at(minutes).
func fine(minutes int) time.Time {
	return at(minutes).Add(789).In(time.FixedZone("UTC+5:45", 5*3600+45*60))
}

// strange are names that are awkward for quoting, escaping and collation, and
// legal all the same.
func strange() []string {
	return []string{
		"' OR 1=1--", `"`, `\`, `\'`, "?", "?0", "%00", "a?b", "$1", ":a", "`", ";", "--", "/*", "\n", " ", "é", "日本", "😀",
		"null", "NULL", "%", "_", "{}", "a'b\"c",
	}
}

// unkept are names that some databases cannot hold.
func unkept() []string { return []string{"\x00", "a\x00b", "\xff", "a\xc3"} }

func must[V any](t *testing.T, v V, err error) V {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantKind(t *testing.T, what string, err error, want fault.Kind) {
	t.Helper()
	if !errors.Is(err, want) || fault.KindOf(err) != want {
		t.Errorf("%s: got error %v, want kind %q", what, err, want)
	}
}

func wantSame(t *testing.T, what string, got, want any) {
	t.Helper()
	d := cmp.Diff(want, got, cmpopts.EquateEmpty(), cmp.Comparer(sameMoment), cmpopts.EquateComparable(netip.Prefix{}))
	if d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// sameMoment is stricter than Equal: a time that is not in UTC would be shown
// to people and signed into tokens in another form.
func sameMoment(a, b time.Time) bool {
	return a.Equal(b) && a.Location() == b.Location() && a.IsZero() == b.IsZero()
}

// race runs f(0) to f(n-1) at once and returns what each returned.
func race[V any](n int, f func(i int) V) []V {
	out := make([]V, n)
	start := make(chan struct{})
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() {
			<-start
			out[i] = f(i)
		})
	}
	close(start)
	all.Wait()
	return out
}

// oneWins checks that one of the racers' errors is nil and all others are of
// the given kind.
func oneWins(t *testing.T, errs []error, others fault.Kind) {
	t.Helper()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
			continue
		}
		wantKind(t, "a racer that came too late", err, others)
	}
	if won != 1 {
		t.Errorf("%d of %d racers won, want exactly 1", won, len(errs))
	}
}

// patience is more than a call takes that has nothing to wait for.
const patience = 5 * time.Second

// quick checks that every call gives up at once when its context has ended.
func quick(t *testing.T, calls map[string]func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, call := range calls {
		took := patience + 1
		for try := 0; try < 3 && took > patience; try++ { // a busy machine may hold up one of them
			start := time.Now()
			if err := call(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%s with a cancelled context: got error %v, want one with context.Canceled in its chain", name, err)
			}
			took = time.Since(start)
		}
		if took > patience {
			t.Errorf("%s with a cancelled context took %v", name, took)
		}
	}
}

// drop turns a call with a result into one with an error alone.
func drop[V any](_ V, err error) error { return err }

func numbered(prefix string, i int) string { return fmt.Sprintf("%s%03d", prefix, i) }
