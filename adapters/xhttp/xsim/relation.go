package xsim

import "slices"

// A relation holds ordered pairs, such as who likes what. The newest come last.
type relation struct{ out, in map[string][]string }

func newRelation() relation {
	return relation{out: map[string][]string{}, in: map[string][]string{}}
}

// add reports whether the pair is new.
func (r *relation) add(from, to string) bool {
	if r.has(from, to) {
		return false
	}
	r.out[from] = append(r.out[from], to)
	r.in[to] = append(r.in[to], from)
	return true
}

// remove reports whether there was such a pair.
func (r *relation) remove(from, to string) bool {
	if !r.has(from, to) {
		return false
	}
	r.out[from] = without(r.out[from], to)
	r.in[to] = without(r.in[to], from)
	return true
}

// drop removes every pair that leads to a thing.
func (r *relation) drop(to string) {
	for _, from := range slices.Clone(r.in[to]) {
		r.remove(from, to)
	}
}

func (r *relation) has(from, to string) bool { return slices.Contains(r.out[from], to) }

// of lists what from is paired with, newest first; to lists who is paired with it.
func (r *relation) of(from string) []string { return reversed(r.out[from]) }
func (r *relation) to(to string) []string   { return reversed(r.in[to]) }

func without(list []string, gone string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(v string) bool { return v == gone })
}

func reversed(list []string) []string {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
