package conformance

import (
	"context"
	"testing"
	"time"

	"perch/domain/fault"
	"perch/domain/operator"
	"perch/ports"
)

// Operators checks that open's stores keep the Operators contract.
func Operators(t *testing.T, open func(*testing.T) ports.Operators) {
	r := record[ports.Operators, operator.Operator]{
		sample: keeper,
		with: func(o operator.Operator, id string, version int64) operator.Operator {
			o.ID, o.Version = operator.ID(id), version
			return o
		},
		create: ports.Operators.Create,
		get: func(s ports.Operators, ctx context.Context, id string) (operator.Operator, error) {
			return s.Get(ctx, operator.ID(id))
		},
		swap: ports.Operators.Swap,
	}
	run(t, open, append(r.checks(), []check[ports.Operators]{
		{"a token's digest can be taken once and never changes", operatorsDigest},
		{"a list is ordered by the bytes of the ID and paged", operatorsList},
		{"a cancelled call is quick", func(t *testing.T, s ports.Operators) {
			quick(t, map[string]func(context.Context) error{
				"ByDigest": func(ctx context.Context) error { return drop(s.ByDigest(ctx, []string{"digest-a"})) },
				"List":     func(ctx context.Context) error { return drop(s.List(ctx, "", 10)) },
			})
		}},
	}...))
}

func keeper(id string, n int, when func(int) time.Time) operator.Operator {
	return operator.Operator{
		ID: operator.ID(id), Name: numbered("Zoë ", n), Role: operator.Keeper, Hint: numbered("op_a…", n),
		Digest: "digest-" + id, Created: when(n), Expires: when(n + 1), Revoked: when(n + 2),
	}
}

func operatorsDigest(t *testing.T, s ports.Operators) {
	want, err := s.Create(t.Context(), keeper("a", 1, at))
	must(t, want, err)
	again := keeper("b", 2, at)
	again.Digest = "digest-a"
	wantKind(t, "Create with a digest that is taken", drop(s.Create(t.Context(), again)), fault.Conflict)
	got, err := s.ByDigest(t.Context(), []string{"newer", "digest-a"})
	wantSame(t, "what ByDigest returned", must(t, got, err), want)

	next := want
	next.Digest, next.Role = "another", operator.Owner
	must(t, true, drop(s.Swap(t.Context(), want, next)))
	got, err = s.ByDigest(t.Context(), []string{"digest-a"})
	if must(t, got, err).Role != operator.Owner {
		t.Errorf("after the swap the operator is %+v", got)
	}
	for _, digests := range [][]string{nil, {""}, {"another"}, {"DIGEST-A"}, {"' OR 1=1--"}, {"\x00"}, strange()} {
		wantKind(t, "ByDigest of other digests", drop(s.ByDigest(t.Context(), digests)), fault.NotFound)
	}
}

func operatorsList(t *testing.T, s ports.Operators) {
	pages[operator.ID]{
		create: func(id operator.ID) error { return drop(s.Create(t.Context(), keeper(string(id), 1, at))) },
		list: func(after operator.ID, n int) ([]operator.ID, error) {
			list, err := s.List(t.Context(), after, n)
			return ids(list, func(o operator.Operator) operator.ID { return o.ID }), err
		},
	}.check(t)
}

// Uses checks that open's stores keep the Uses contract.
func Uses(t *testing.T, open func(*testing.T) ports.Uses) {
	run(t, open, []check[ports.Uses]{
		{"the last use comes back, exact to the microsecond, and only of those asked for", usesLast},
		{"an earlier use changes nothing, in whatever order they are noted", usesOrder},
		{"many are noted and read at once", usesMany},
		{"nothing is no use", usesNothing},
	})
}

func usesLast(t *testing.T, s ports.Uses) {
	must(t, true, s.Note(t.Context(), map[string]time.Time{"a": fine(1), "b": fine(2), "' OR 1=1--": at(3)}))
	last, err := s.Last(t.Context(), []string{"a", "' OR 1=1--", "c", "\x00"})
	wantSame(t, "what Last returned", must(t, last, err), map[string]time.Time{"a": at(1), "' OR 1=1--": at(3)})
}

func usesOrder(t *testing.T, s ports.Uses) {
	for _, err := range race(20, func(i int) error {
		return s.Note(t.Context(), map[string]time.Time{"a": at(i), "b": at(20 - i)})
	}) {
		must(t, true, err)
	}
	must(t, true, s.Note(t.Context(), map[string]time.Time{"a": at(3)}))
	last, err := s.Last(t.Context(), []string{"a", "b"})
	wantSame(t, "what Last returned", must(t, last, err), map[string]time.Time{"a": at(19), "b": at(20)})
}

func usesMany(t *testing.T, s ports.Uses) {
	used, ids := map[string]time.Time{}, []string{}
	for i := range 250 {
		ids = append(ids, numbered("key", i))
		used[ids[i]] = at(i)
	}
	must(t, true, s.Note(t.Context(), used))
	last, err := s.Last(t.Context(), ids)
	wantSame(t, "what Last returned", must(t, last, err), used)
}

func usesNothing(t *testing.T, s ports.Uses) {
	must(t, true, s.Note(t.Context(), nil))
	last, err := s.Last(t.Context(), nil)
	if len(must(t, last, err)) != 0 {
		t.Errorf("Last of nothing returned %v", last)
	}
	must(t, true, s.Note(t.Context(), map[string]time.Time{"\x00": at(1)}))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if s.Note(ctx, map[string]time.Time{"a": at(1)}) == nil {
		t.Error("a cancelled call is not refused")
	}
}
