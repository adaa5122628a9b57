package sessions

import (
	"crypto/sha256"
	"sync"

	"perch/domain/secret"
	"perch/domain/session"
)

// mostProofs bounds how many proofs of one window are remembered, which is some
// ten megabytes. Where more come within it, all are forgotten and counted anew.
const mostProofs = 1 << 18

// proofs remembers the DPoP proofs of requests that this replica has let in, for
// as long as they could be presented again. Other replicas do not know of them.
type proofs struct {
	mu   sync.Mutex
	most int
	seen map[int64]map[[16]byte]struct{} // by the window of their nonce
}

func newProofs(most int) *proofs {
	return &proofs{most: most, seen: map[int64]map[[16]byte]struct{}{}}
}

// first remembers the proof, whose nonce is of the window, and reports whether
// it had not come before.
func (p *proofs) first(window, now int64, proof session.Proof) bool {
	sum := sha256.Sum256([]byte(secret.Label(proof.JKT, proof.ID)))
	name := [16]byte(sum[:16])
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.seen[window]
	if _, ok := of[name]; ok {
		return false
	}
	if of == nil || len(of) >= p.most {
		for old := range p.seen {
			if old < now-1 { // its nonce is good no more
				delete(p.seen, old)
			}
		}
		of = map[[16]byte]struct{}{}
		p.seen[window] = of
	}
	of[name] = struct{}{}
	return true
}
