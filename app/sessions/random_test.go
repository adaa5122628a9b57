package sessions_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"perch/adapters/keyring"
	"perch/domain/apikey"
)

// silence is a source of randomness that has none.
type silence struct{}

func (silence) Read([]byte) (int, error) { return 0, errors.New("no randomness") }

// mints are all that Perch makes up by itself and that nobody may guess.
func (s *server) mints() map[string]func() {
	return map[string]func(){
		"a keyset":          func() { keyring.Ephemeral() },
		"an API key":        func() { s.key(s.app.ID, apikey.Secret) },
		"a code":            func() { s.codeAtCallback() },
		"a session's token": func() { s.signedIn() },
		"an application":    func() { s.register() },
	}
}

// Where randomness fails the program ends: nothing is made of zeros, and no
// caller goes on without. Each is tried in a process of its own.
func TestNothingIsMadeUpWithoutRandomness(t *testing.T) {
	if name := os.Getenv("PERCH_TEST_MINT"); name != "" {
		s := newServer(t)
		s.code()
		rand.Reader = silence{}
		s.mints()[name]()
		fmt.Println("it was made up all the same")
		os.Exit(0)
	}
	for name := range (&server{}).mints() {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestNothingIsMadeUpWithoutRandomness$")
		cmd.Env = append(os.Environ(), "PERCH_TEST_MINT="+name)
		out, err := cmd.CombinedOutput()
		if err == nil || bytes.Contains(out, []byte("all the same")) || !bytes.Contains(out, []byte("crypto/rand")) {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if rand.Reader == io.Reader(silence{}) {
		t.Error("this process has no randomness any more")
	}
}
