package xhttp

import (
	"sync"
	"time"

	"perch/domain/oauth"
	"perch/domain/secret"
)

// refusedTokens remembers which tokens X has refused lately, so that one grant that asks
// again and again does not pass for many.
type refusedTokens struct {
	mu sync.Mutex
	at map[string]time.Time // by digest
}

// mostTokens bounds what is remembered; beyond it each counts as seen.
const mostTokens = 10_000

// first reports whether the token was not refused within failuresWithin before.
func (t *refusedTokens) first(token secret.Text) bool {
	mark, now := oauth.Digest(token.Reveal()), time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.at == nil {
		t.at = map[string]time.Time{}
	}
	if at, ok := t.at[mark]; ok && now.Sub(at) < failuresWithin {
		return false
	}
	if len(t.at) >= mostTokens {
		for m, at := range t.at {
			if now.Sub(at) >= failuresWithin {
				delete(t.at, m)
			}
		}
		if len(t.at) >= mostTokens {
			return false
		}
	}
	t.at[mark] = now
	return true
}
