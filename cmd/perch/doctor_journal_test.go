package main

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"perch/adapters/journal"
	"perch/domain/oauth"
	"perch/ports"
)

func TestDoctorLooksIntoTheJournal(t *testing.T) {
	x := box(t, 0)
	for name, c := range map[string]struct {
		make    func() error
		environ []string
		code    int
		say     string
	}{
		"not there yet": {func() error { return nil }, nil, exitDone, "ok    journal       ./perch.journal does not exist yet"},
		"off":           {func() error { return nil }, []string{"PERCH_JOURNAL=off"}, exitDone, "warn  journal       it is off"},
		"nowhere":       {func() error { return nil }, []string{"PERCH_JOURNAL=none/j"}, exitFailed, "FAIL  journal       none/j cannot be made"},
		"a file":        {func() error { return os.WriteFile("j", nil, 0o600) }, []string{"PERCH_JOURNAL=j"}, exitFailed, "FAIL  journal       j is a file, and a folder is wanted"},
		"empty":         {func() error { return os.Mkdir("perch.journal", 0o700) }, nil, exitDone, "ok    journal       ./perch.journal can be written"},
		"for all to see": {
			func() error { return errors.Join(os.Mkdir("perch.journal", 0o700), os.Chmod("perch.journal", 0o755)) },
			nil, exitDone, "warn  journal       ./perch.journal can be read by others (mode 0755); run: chmod 700 ./perch.journal",
		},
		"with a renewal": {func() error {
			j, err := journal.Open("perch.journal")
			if err != nil {
				return err
			}
			return j.Keep(t.Context(), ports.Renewal{
				Attempt: "a", Grant: "grant_x", Pair: oauth.Pair{Access: "box"}, At: time.Now(),
			})
		}, nil, exitDone, "warn  journal       ./perch.journal has tokens of 1 grants that the vault does not have yet, as grant_x"},
		"with half of one": {func() error {
			return errors.Join(os.Mkdir("perch.journal", 0o700),
				os.WriteFile(filepath.Join("perch.journal", "x.renewal"), []byte("perch-ren"), 0o600))
		}, nil, exitFailed, "FAIL  journal       ./perch.journal has 1 entries that cannot be read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := c.make(); err != nil {
				t.Fatal(err)
			}
			perch(t, boxed(x, x, c.environ...), "", "doctor").says(t, c.code, c.say)
		})
	}
}
