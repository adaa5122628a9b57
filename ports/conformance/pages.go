package conformance

import (
	"slices"
	"testing"
)

// pages is how the suites handle a list that is ordered by ID and paged.
type pages[K ~string] struct {
	create func(id K) error
	list   func(after K, n int) ([]K, error)
}

// check creates IDs out of order, among them some that a database's collation
// would sort by another rule than bytes.
func (p pages[K]) check(t *testing.T) {
	t.Helper()
	want := []K{"B", "Z1", "_", "a", "aa", "b", "b-1", "b_1", "z", "é", "日"}
	for _, i := range []int{7, 0, 10, 3, 9, 1, 5, 2, 8, 6, 4} {
		if err := p.create(want[i]); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []int{1, 2, 3, 10, 11, 12, 1000} {
		var got []K
		for after := K(""); ; {
			page, err := p.list(after, n)
			if err != nil {
				t.Fatal(err)
			}
			if len(page) > n {
				t.Fatalf("asked for %d entries, got %d", n, len(page))
			}
			got = append(got, page...)
			if len(page) < n {
				break
			}
			after = page[len(page)-1]
		}
		wantSame(t, "all pages together", got, want)
	}
	p.edges(t, want)
}

func (p pages[K]) edges(t *testing.T, all []K) {
	t.Helper()
	for _, c := range []struct {
		what  string
		after K
		n     int
		want  []K
	}{
		{"a page of no entries", "", 0, nil},
		{"a page after the last entry", all[len(all)-1], 5, nil},
		{"a page after an ID that is not there", "a0", 2, all[slices.Index(all, "aa"):][:2]},
	} {
		got, err := p.list(c.after, c.n)
		wantSame(t, c.what, must(t, got, err), c.want)
	}
}

func ids[K ~string, V any](list []V, id func(V) K) []K {
	out := make([]K, 0, len(list))
	for _, v := range list {
		out = append(out, id(v))
	}
	return out
}
