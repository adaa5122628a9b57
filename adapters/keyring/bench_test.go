package keyring_test

import (
	"testing"

	"perch/adapters/keyring"
	"perch/domain/secret"
)

func BenchmarkOpenBox(b *testing.B) {
	r := keyring.Ephemeral()
	box, err := r.Seal(b.Context(), secret.New("an access token of about a hundred and forty characters: "+
		"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"), "label")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := r.Open(b.Context(), box, "label"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDigests(b *testing.B) {
	r := keyring.Ephemeral()
	key := secret.New("sk_ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	for b.Loop() {
		if _, err := r.Digests(b.Context(), key, "apikey"); err != nil {
			b.Fatal(err)
		}
	}
}
