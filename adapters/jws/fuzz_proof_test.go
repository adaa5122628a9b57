package jws

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"perch/domain/session"
)

// FuzzProof: a proof that is read was made with the key it names. A thief signs
// whatever header and claims there are with his own key; none of it is read as
// a proof of the key of RFC 9449's example, of which he has seen a proof, or of
// any key but his own.
//
// {proof} stands for the proof that was seen, {its} and {his} for the members of
// the two keys; what follows {sign} is a header and claims, divided by |, to be
// signed.
func FuzzProof(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	thief := forger{private: key}
	point, err := key.PublicKey.Bytes()
	if err != nil {
		f.Fatal(err)
	}
	members := map[string]any{"kty": "EC", "crv": "P-256", "x": b64(string(point[1:33])), "y": b64(string(point[33:]))}
	his, err := json.Marshal(members)
	if err != nil {
		f.Fatal(err)
	}
	own := thumbprint(members, "crv", "kty", "x", "y")
	const its = `{"kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",` +
		`"y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","crv":"P-256"}`
	fill := strings.NewReplacer("{proof}", rfcProof, "{its}", its, "{his}", string(his))
	proofs := NewProofs()
	f.Fuzz(func(t *testing.T, text string) {
		text = fill.Replace(text)
		if raw, ok := strings.CutPrefix(text, "{sign}"); ok {
			head, body, _ := strings.Cut(raw, "|")
			text = thief.signed(head, body)
		}
		got, err := proofs.Read(text)
		if err != nil {
			var own keyError
			if got != (session.Proof{}) || errors.As(err, &own) {
				t.Errorf("%q is refused, and read as %+v: %v", text, got, err)
			}
			for part := range strings.SplitSeq(text, ".") {
				if len(part) > 30 && strings.Contains(err.Error(), part) {
					t.Errorf("the refusal of %q quotes it", text)
				}
			}
			return
		}
		if text != rfcProof && got.JKT != own || text == rfcProof && got.JKT != rfcThumbprint {
			t.Errorf("%q is read as a proof of %s", text, got.JKT)
		}
		if got.ID == "" || got.Method == "" || got.URL == "" || got.Issued.IsZero() {
			t.Errorf("%q is read as %+v", text, got)
		}
	})
}
