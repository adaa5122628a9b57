package jws

import (
	"testing"

	"perch/ports/conformance"
)

func BenchmarkReadProof(b *testing.B) {
	p, proof := NewProofs(), conformance.NewDevice(b).Prove(b, "GET", "https://perch.example/2/users/me", nil)
	for b.Loop() {
		if _, err := p.Read(proof); err != nil {
			b.Fatal(err)
		}
	}
}
