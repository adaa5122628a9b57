package journal_test

import (
	"path/filepath"
	"strconv"
	"testing"

	"perch/adapters/journal"
)

// BenchmarkARenewal is what the journal adds to a refresh. Of it, keeping is what
// stands between X's answer and the disk.
func BenchmarkARenewal(b *testing.B) {
	j, err := journal.Open(filepath.Join(b.TempDir(), "journal"))
	if err != nil {
		b.Fatal(err)
	}
	step := func(name string, do func(attempt string) error) {
		b.Run(name, func(b *testing.B) {
			for i := range b.N {
				if err := do(strconv.Itoa(i)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	step("reserve", func(a string) error { return j.Reserve(b.Context(), a) })
	step("keep", func(a string) error { return j.Keep(b.Context(), renewal(a)) })
	step("drop", func(a string) error { return j.Drop(b.Context(), a) })
}
