package grants_test

import "testing"

// BenchmarkAccess is what a warm grant costs each action: no store, no X.
func BenchmarkAccess(b *testing.B) {
	h := newHouse(b)
	g := h.connected()
	for b.Loop() {
		if _, err := h.Access(b.Context(), g); err != nil {
			b.Fatal(err)
		}
	}
}
