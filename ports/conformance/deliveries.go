package conformance

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/secret"
	"perch/ports"
)

// A Queue is a store of deliveries and what hands them out.
type Queue interface {
	ports.Deliveries
	ports.DeliveryQueue
}

// Deliveries checks that open's stores keep the Deliveries and DeliveryQueue
// contracts.
func Deliveries(t *testing.T, open func(*testing.T) Queue) {
	r := record[Queue, delivery.Delivery]{
		sample: parcel,
		with: func(d delivery.Delivery, id string, version int64) delivery.Delivery {
			d.ID, d.Seq, d.Version = delivery.ID(id), 1, version
			return d
		},
		create: func(q Queue, ctx context.Context, d delivery.Delivery) (delivery.Delivery, error) {
			return q.Put(ctx, d, roomy())
		},
		get: func(q Queue, ctx context.Context, id string) (delivery.Delivery, error) {
			return q.Get(ctx, delivery.ID(id))
		},
		swap: Queue.Swap,
	}
	run(t, open, append(r.checks(), []check[Queue]{
		{"each is put behind those of its grant", deliveriesLine},
		{"of many who put into one line each gets its place", deliveriesPlaces},
		{"the same key in one line is the same delivery", deliveriesKey},
		{"of many who put the same key one succeeds, and all have it", deliveriesKeyRace},
		{"no more wait than there is room for", deliveriesRoom},
		{"many who put into one line at once have no more room", deliveriesRoomRace},
		{"the first of each line is claimed when it is due, and none behind it", deliveriesHeads},
		{"a turn lasts as long as its lease, and what was being sent is in doubt after it", deliveriesLease},
		{"of many claimers one gets each", deliveriesClaimRace},
		{"as many are claimed as were asked for, those that wait longest first", deliveriesClaimSome},
		{"what has no time left needs no turn", deliveriesLate},
		{"a claim overtakes a swap from before it", deliveriesOvertaken},
		{"none is sent twice or out of order by many who come and go", deliveriesStorm},
		{"a list is filtered, ordered by the bytes of the ID and paged", deliveriesList},
		{"a sweep removes what ended before, and nothing that waits", deliveriesSweep},
		{"a cancelled call is quick", func(t *testing.T, q Queue) {
			quick(t, map[string]func(context.Context) error{
				"List":  func(ctx context.Context) error { return drop(q.List(ctx, delivery.Filter{}, "", 10)) },
				"Claim": func(ctx context.Context) error { return drop(q.Claim(ctx, at(0), turn("a", 1), 10)) },
				"Sweep": func(ctx context.Context) error { return drop(q.Sweep(ctx, at(0))) },
			})
		}},
	}...))
}

func roomy() delivery.Room { return delivery.Room{Line: 1000, App: 1000} }

func turn(holder string, until int) delivery.Lease {
	return delivery.Lease{Holder: holder, Until: at(until)}
}

func parcel(id string, n int, when func(int) time.Time) delivery.Delivery {
	return delivery.Delivery{
		ID: delivery.ID(id), App: client.AppID("app-" + id), Grant: oauth.GrantID("grant-" + id), Seq: 1,
		Actor: "key-" + id, Action: "createPosts", Key: "key-" + id, Call: secret.Box(numbered("call-", n)),
		Created: when(0), Until: when(1000), State: delivery.Failed, Attempts: n, Next: when(n), Doubt: when(n + 1),
		Outcome: delivery.Outcome{
			Status: 400 + n, Problem: numbered("problem-", n), Detail: numbered("é ", n), Type: "application/json",
			Reply: secret.Box(numbered("reply-", n)),
		},
		Ended: when(n + 2), Lease: delivery.Lease{Holder: numbered("h", n), Until: when(n + 3)},
	}
}

// waiting is a delivery that was just accepted.
func waiting(id, grant string) delivery.Delivery {
	return delivery.Delivery{
		ID: delivery.ID(id), App: "app", Grant: oauth.GrantID(grant), Key: id, Action: "createPosts",
		State: delivery.Queued, Created: at(0), Until: at(10_000), Next: at(0),
	}
}

func accepted(t *testing.T, q Queue, id, grant string) delivery.Delivery {
	t.Helper()
	d, err := q.Put(t.Context(), waiting(id, grant), roomy())
	return must(t, d, err)
}

func claimed(t *testing.T, q Queue, minute int, l delivery.Lease) []delivery.Delivery {
	t.Helper()
	got, err := q.Claim(t.Context(), at(minute), l, 100)
	return must(t, got, err)
}

func idsOf(list []delivery.Delivery) []delivery.ID {
	return slices.Sorted(slices.Values(ids(list, func(d delivery.Delivery) delivery.ID { return d.ID })))
}

func delivered(t *testing.T, q Queue, d delivery.Delivery, minute int) {
	t.Helper()
	d, err := q.Swap(t.Context(), d, d.End(delivery.Done, delivery.Outcome{Status: 201}, at(minute)))
	must(t, d, err)
}

func deliveriesLine(t *testing.T, q Queue) {
	for i, want := range []struct {
		grant string
		seq   int64
	}{{"a", 1}, {"b", 1}, {"a", 2}, {"", 1}, {"a", 3}, {"", 2}, {"b", 2}} {
		wantSame(t, "the place of "+numbered("d", i), accepted(t, q, numbered("d", i), want.grant).Seq, want.seq)
	}
	other := waiting("x", "")
	other.App = "other"
	d, err := q.Put(t.Context(), other, roomy())
	wantSame(t, "the place of another application's own", must(t, d, err).Seq, int64(1))
}

func deliveriesPlaces(t *testing.T, q Queue) {
	const many = 20
	var want, got []int64
	for i, d := range race(many, func(i int) delivery.Delivery { return accepted(t, q, numbered("d", i), "a") }) {
		want, got = append(want, int64(i+1)), append(got, d.Seq)
	}
	slices.Sort(got)
	wantSame(t, "the places", got, want)
}

func deliveriesKey(t *testing.T, q Queue) {
	first := accepted(t, q, "a", "g")
	again := waiting("b", "g")
	again.Key = "a"
	for _, room := range []delivery.Room{roomy(), {}} {
		got, err := q.Put(t.Context(), again, room)
		wantKind(t, "Put with a key that is there", err, fault.Conflict)
		wantSame(t, "what it returned", got, first)
	}
	again.Grant = "other"
	d, err := q.Put(t.Context(), again, roomy())
	wantSame(t, "the same key in another line", must(t, d, err).ID, delivery.ID("b"))
}

func deliveriesKeyRace(t *testing.T, q Queue) {
	type answer struct {
		id  delivery.ID
		err error
	}
	seen, won := map[delivery.ID]bool{}, 0
	for _, a := range race(16, func(i int) answer {
		d := waiting(numbered("d", i), "g")
		d.Key = "k"
		got, err := q.Put(t.Context(), d, roomy())
		return answer{got.ID, err}
	}) {
		seen[a.id] = true
		if a.err == nil {
			won++
			continue
		}
		wantKind(t, "Put with a key that is there", a.err, fault.Conflict)
	}
	if won != 1 || len(seen) != 1 {
		t.Errorf("%d were put, and the callers have %v", won, seen)
	}
}

func deliveriesRoom(t *testing.T, q Queue) {
	room := delivery.Room{Line: 2, App: 3}
	add := func(id, grant string) error {
		return drop(q.Put(t.Context(), waiting(id, grant), room))
	}
	must(t, true, add("a", "g"))
	must(t, true, add("b", "g"))
	wantKind(t, "one too many in the line", add("c", "g"), fault.Limited)
	must(t, true, add("d", "h"))
	wantKind(t, "one too many for the application", add("e", "h"), fault.Limited)
	delivered(t, q, claimed(t, q, 0, turn("w", 1))[0], 0)
	must(t, true, add("f", "g"))
}

func deliveriesRoomRace(t *testing.T, q Queue) {
	in := 0
	for _, err := range race(20, func(i int) error {
		return drop(q.Put(t.Context(), waiting(numbered("d", i), "g"), delivery.Room{Line: 7, App: 1000}))
	}) {
		if err == nil {
			in++
			continue
		}
		wantKind(t, "Put without room", err, fault.Limited)
	}
	wantSame(t, "how many were let in", in, 7)
}

func deliveriesHeads(t *testing.T, q Queue) {
	for _, d := range [][2]string{{"a1", "a"}, {"a2", "a"}, {"b1", "b"}, {"b2", "b"}, {"b3", "b"}} {
		accepted(t, q, d[0], d[1])
	}
	wantSame(t, "what is due too early", len(claimed(t, q, -1, turn("w", 1))), 0)
	first := claimed(t, q, 0, turn("w", 1))
	wantSame(t, "the first of the lines", idsOf(first), []delivery.ID{"a1", "b1"})
	for _, d := range first {
		was, err := q.Get(t.Context(), d.ID)
		wantSame(t, "what is stored", must(t, was, err), d)
		want := untouched(d.ID, d.Grant, d.Seq).Claim(turn("w", 1))
		want.Version = 2
		wantSame(t, "what was claimed", d, want)
	}
	wantSame(t, "what is claimed again", len(claimed(t, q, 0, turn("v", 1))), 0)
	delivered(t, q, first[slices.IndexFunc(first, func(d delivery.Delivery) bool { return d.ID == "a1" })], 0)
	wantSame(t, "what comes next", idsOf(claimed(t, q, 0, turn("v", 1))), []delivery.ID{"a2"})
}

func untouched(id delivery.ID, grant oauth.GrantID, seq int64) delivery.Delivery {
	d := waiting(string(id), string(grant))
	d.Seq = seq
	return d
}

func deliveriesLease(t *testing.T, q Queue) {
	accepted(t, q, "a", "g")
	first := claimed(t, q, 0, turn("w", 5))
	wantSame(t, "claimed within the lease", len(claimed(t, q, 4, turn("v", 9))), 0)
	second := claimed(t, q, 6, turn("v", 9))
	if len(second) != 1 || !second[0].Doubt.Equal(at(5)) || second[0].Attempts != 2 || second[0].Lease != turn("v", 9) {
		t.Fatalf("after the lease: %+v", second)
	}
	_, err := q.Swap(t.Context(), first[0], first[0].End(delivery.Done, delivery.Outcome{}, at(6)))
	wantKind(t, "the end that the first holder reports", err, fault.Conflict)
	third := claimed(t, q, 9, turn("u", 12))
	wantSame(t, "since when it is in doubt", third[0].Doubt, at(5))
}

func deliveriesClaimRace(t *testing.T, q Queue) {
	const lines = 12
	for i := range lines {
		accepted(t, q, numbered("d", i), numbered("g", i))
	}
	var all []delivery.ID
	for _, got := range race(8, func(i int) []delivery.Delivery {
		var mine []delivery.Delivery
		for range 4 {
			got, err := q.Claim(t.Context(), at(0), turn(numbered("w", i), 5), 3)
			if err != nil {
				t.Error(err)
			}
			mine = append(mine, got...)
		}
		return mine
	}) {
		all = append(all, idsOf(got)...)
	}
	slices.Sort(all)
	wantSame(t, "all that was claimed, once", len(slices.Compact(slices.Clone(all))), len(all))
	all = append(all, idsOf(claimed(t, q, 0, turn("last", 5)))...)
	wantSame(t, "claimed in the end", len(all), lines)
}

func deliveriesClaimSome(t *testing.T, q Queue) {
	for i := range 5 {
		d := waiting(numbered("d", i), numbered("g", i))
		d.Next = at(-i)
		must(t, true, drop(q.Put(t.Context(), d, roomy())))
	}
	got, err := q.Claim(t.Context(), at(0), turn("w", 1), 2)
	wantSame(t, "two of five", ids(must(t, got, err), func(d delivery.Delivery) delivery.ID { return d.ID }),
		[]delivery.ID{"d004", "d003"})
	none, err := q.Claim(t.Context(), at(0), turn("w", 1), 0)
	wantSame(t, "none of five", len(must(t, none, err)), 0)
}

func deliveriesLate(t *testing.T, q Queue) {
	accepted(t, q, "a", "g")
	late := waiting("b", "g")
	late.Until, late.Next = at(10), at(500)
	must(t, true, drop(q.Put(t.Context(), late, roomy())))
	wantSame(t, "before its end", idsOf(claimed(t, q, 9, turn("w", 20))), []delivery.ID{"a"})
	wantSame(t, "at its end", idsOf(claimed(t, q, 10, turn("w", 20))), []delivery.ID{"b"})
	doubt := waiting("c", "h")
	doubt.Until, doubt.Next, doubt.Doubt = at(10), at(30), at(5)
	must(t, true, drop(q.Put(t.Context(), doubt, roomy())))
	wantSame(t, "one in doubt before it is looked for again", len(claimed(t, q, 15, turn("v", 40))), 0)
	wantSame(t, "one in doubt then", idsOf(claimed(t, q, 30, turn("v", 40))), []delivery.ID{"a", "b", "c"})
}

func deliveriesOvertaken(t *testing.T, q Queue) {
	d := accepted(t, q, "a", "g")
	claimed(t, q, 0, turn("w", 1))
	gone, err := d.Cancel(at(0))
	must(t, gone, err)
	wantKind(t, "a swap from before the claim", drop(q.Swap(t.Context(), d, gone)), fault.Conflict)
}

func deliveriesList(t *testing.T, q Queue) {
	pages[delivery.ID]{
		create: func(id delivery.ID) error {
			return drop(q.Put(t.Context(), waiting(string(id), "g"), roomy()))
		},
		list: func(after delivery.ID, n int) ([]delivery.ID, error) {
			got, err := q.List(t.Context(), delivery.Filter{}, after, n)
			return ids(got, func(d delivery.Delivery) delivery.ID { return d.ID }), err
		},
	}.check(t)
	other := waiting("other", "h")
	other.App = "other"
	must(t, true, drop(q.Put(t.Context(), other, roomy())))
	claimed(t, q, 0, turn("w", 1))
	accepted(t, q, "third", "i")
	accepted(t, q, "own", "")
	for _, c := range []struct {
		f    delivery.Filter
		want []delivery.ID
	}{
		{delivery.Filter{App: "other"}, []delivery.ID{"other"}},
		{delivery.Filter{App: "nobody"}, nil},
		{delivery.Filter{Grants: []oauth.GrantID{"h", "i"}}, []delivery.ID{"other", "third"}},
		{delivery.Filter{App: "app", Grants: []oauth.GrantID{"h", "i"}}, []delivery.ID{"third"}},
		{delivery.Filter{State: delivery.Sending, App: "other"}, []delivery.ID{"other"}},
		{delivery.Filter{State: delivery.Done}, nil},
		{delivery.Filter{App: "\x00"}, nil},
		{delivery.Filter{Key: "\x00"}, nil},
		{delivery.Filter{Key: "third"}, []delivery.ID{"third"}},
		{delivery.Filter{App: "app", Grants: []oauth.GrantID{"i"}, Key: "third"}, []delivery.ID{"third"}},
		{delivery.Filter{App: "app", Grants: []oauth.GrantID{"g"}, Key: "third"}, nil},
		{delivery.Filter{App: "other", Grants: []oauth.GrantID{"i"}, Key: "third"}, nil},
		{delivery.Filter{State: delivery.Sending, Grants: []oauth.GrantID{"i"}, Key: "third"}, nil},
		{delivery.Filter{App: "app", Grants: []oauth.GrantID{"", "i"}, Key: "own"}, []delivery.ID{"own"}},
		{delivery.Filter{App: "other", Grants: []oauth.GrantID{""}, Key: "own"}, nil},
	} {
		got, err := q.List(t.Context(), c.f, "", 100)
		wantSame(t, fmt.Sprintf("those of %+v", c.f), idsOf(must(t, got, err)), c.want)
	}
}

func deliveriesSweep(t *testing.T, q Queue) {
	accepted(t, q, "a", "a")
	accepted(t, q, "b", "b")
	accepted(t, q, "c", "c")
	for i, d := range claimed(t, q, 0, turn("w", 1)) {
		if d.ID != "c" {
			delivered(t, q, d, 10+i*10)
		}
	}
	n, err := q.Sweep(t.Context(), at(20))
	wantSame(t, "how many were swept", must(t, n, err), 1)
	left, err := q.List(t.Context(), delivery.Filter{}, "", 10)
	wantSame(t, "what is left", idsOf(must(t, left, err)), []delivery.ID{"b", "c"})
}
