package sessions

import (
	"strconv"
	"testing"

	"perch/domain/session"
)

func TestProofsAreBounded(t *testing.T) {
	p := newProofs(100)
	for window := range int64(50) {
		for n := range 250 {
			if !p.first(window, window, session.Proof{JKT: "k", ID: strconv.Itoa(n)}) {
				t.Fatalf("proof %d of window %d came before", n, window)
			}
		}
		kept := 0
		for _, of := range p.seen {
			kept += len(of)
		}
		if kept > 300 || len(p.seen) > 3 {
			t.Fatalf("%d proofs of %d windows are kept", kept, len(p.seen))
		}
	}
}

func TestProofsAreToldApart(t *testing.T) {
	p := newProofs(100)
	for _, one := range []session.Proof{{JKT: "ab", ID: "c"}, {JKT: "a", ID: "bc"}, {JKT: "1:a", ID: "b"}, {JKT: "", ID: "abc"}} {
		if !p.first(1, 1, one) || p.first(1, 1, one) {
			t.Errorf("%+v is taken for another, or twice", one)
		}
	}
}
