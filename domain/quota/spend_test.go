package quota_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/domain/fault"
	"perch/domain/quota"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// spend charges one bucket.
func spend(t *testing.T, c quota.Charge, b quota.Bucket, now time.Time) (quota.Bucket, quota.Grip) {
	t.Helper()
	whole, err := quota.Complete([]quota.Charge{c})
	if err != nil {
		t.Fatal(err)
	}
	after, v := quota.Spend(whole, []quota.Bucket{b}, []time.Time{now})
	if v.Allowed != v.Grips[0].Allowed {
		t.Errorf("one bucket alone: the verdict is %v, its own %v", v.Allowed, v.Grips[0].Allowed)
	}
	return after[0], v.Grips[0]
}

func TestAWindowBeginsWithItsFirstChargeAndHoldsItsMaximum(t *testing.T) {
	c := quota.Charge{Max: 2, Window: time.Minute}
	var b quota.Bucket
	var g quota.Grip
	for i, v := range []struct {
		at        time.Duration
		allowed   bool
		remaining int64
		reset     time.Duration
	}{
		{0, true, 1, time.Minute}, {time.Second, true, 0, time.Minute}, {59 * time.Second, false, 0, time.Minute},
		{time.Minute, true, 1, 2 * time.Minute}, {5 * time.Minute, true, 1, 6 * time.Minute},
	} {
		b, g = spend(t, c, b, noon.Add(v.at))
		want := quota.Decision{Allowed: v.allowed, Limit: 2, Remaining: v.remaining, Reset: noon.Add(v.reset)}
		if diff := cmp.Diff(want, g.Decision); diff != "" {
			t.Errorf("call %d (-want +got):\n%s", i, diff)
		}
	}
}

func TestABucketGivesBetweenLeastAndCostWithinTheShare(t *testing.T) {
	for _, v := range []struct {
		name               string
		used, cost, least  int64
		share, given, left int64
	}{
		{"all that are wanted", 0, 4, 0, 0, 4, 6},
		{"one if nothing is said", 0, 0, 0, 0, 1, 9},
		{"as many as fit", 8, 4, 1, 0, 2, 0},
		{"nothing if less than the least fits", 8, 4, 3, 0, 0, 2},
		{"nothing beyond the share", 5, 4, 1, 50, 0, 5},
		{"up to the share", 4, 4, 1, 55, 1, 5},
		{"a least above the cost is the cost", 0, 2, 9, 0, 2, 8},
	} {
		c := quota.Charge{Max: 10, Window: time.Hour, Cost: v.cost, Least: v.least, Share: v.share}
		_, g := spend(t, c, quota.Bucket{Used: v.used, Reset: noon.Add(time.Hour)}, noon)
		if g.Given != v.given || g.Remaining != v.left {
			t.Errorf("%s: given %d and %d left, want %d and %d", v.name, g.Given, g.Remaining, v.given, v.left)
		}
	}
}

func TestAllBucketsGiveOrNone(t *testing.T) {
	end := noon.Add(time.Hour)
	charges, err := quota.Complete([]quota.Charge{
		{Key: "free", Max: 5, Window: time.Hour}, {Key: "full", Max: 3, Window: time.Hour},
		{Key: "full too", Max: 1, Window: time.Hour}, {Key: "new", Max: 1, Window: time.Hour},
	})
	if err != nil {
		t.Fatal(err)
	}
	buckets := []quota.Bucket{{Used: 1, Reset: end}, {Used: 3, Reset: end}, {Used: 1, Reset: end}, {}}
	after, v := quota.Spend(charges, buckets, []time.Time{noon, noon, noon, noon})
	if v.Allowed || v.Full != 1 || len(v.Returns(charges)) != 0 {
		t.Errorf("got %+v, want a refusal by the second", v)
	}
	if diff := cmp.Diff(buckets, after); diff != "" {
		t.Errorf("a refusal changed the buckets:\n%s", diff)
	}
	for i, want := range []quota.Decision{
		{Allowed: true, Limit: 5, Remaining: 4, Reset: end}, {Limit: 3, Reset: end}, {Limit: 1, Reset: end},
		{Allowed: true, Limit: 1, Remaining: 1, Reset: end},
	} {
		if diff := cmp.Diff(quota.Grip{Decision: want}, v.Grips[i]); diff != "" {
			t.Errorf("%s:\n%s", charges[i].Key, diff)
		}
	}
	if _, err := quota.Complete(append(charges, charges[0])); !errors.Is(err, fault.Invalid) {
		t.Errorf("a bucket charged twice: got error %v, want invalid", err)
	}
}

func TestWhatXSaysOfItsWindow(t *testing.T) {
	guess := quota.Bucket{Used: 5, Reset: noon.Add(15 * time.Minute), Guessed: true}
	soon := quota.Bucket{Used: 5, Reset: noon.Add(3 * time.Second), Guessed: true}
	known := quota.Bucket{Used: 5, Reset: noon.Add(10 * time.Minute), Told: true, Max: 50}
	for _, v := range []struct {
		name   string
		bucket quota.Bucket
		used   int64
		reset  time.Duration
		want   int64 // used afterwards; -1: nothing changes
	}{
		{"nothing was known", quota.Bucket{}, 7, 10 * time.Minute, 7},
		{"our guess of the end was late", guess, 7, 10 * time.Minute, 7},
		{"what is on its way counts beside", guess, 2, 10 * time.Minute, 5},
		{"our guess is over", quota.Bucket{Used: 5, Reset: noon, Guessed: true}, 2, 10 * time.Minute, 2},
		{"our guess was a little early", guess, 2, 15*time.Minute + 2*time.Second, 5},
		{"the next window, our guess is nearly over", soon, 1, 15 * time.Minute, 1},
		{"the same window, others use it too", known, 9, 10 * time.Minute, 9},
		{"the same window, a reply that came late", known, 3, 10*time.Minute - time.Second, 5},
		{"the next window", known, 1, 25 * time.Minute, 1},
		{"an earlier window", known, 40, 5 * time.Minute, -1},
	} {
		n := quota.Note{Max: 60, Used: v.used, Reset: noon.Add(v.reset)}
		want := quota.Bucket{Used: v.want, Reset: n.Reset, Told: true, Max: 60}
		if v.want < 0 {
			want = v.bucket
		}
		if diff := cmp.Diff(want, v.bucket.Noted(n, noon)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", v.name, diff)
		}
	}
}

func TestTheMaximumThatXSaidOutlastsItsWindow(t *testing.T) {
	c := quota.Charge{Key: "x", Max: 15, Window: 15 * time.Minute, Theirs: true}
	b := quota.Bucket{Used: 50, Reset: noon, Told: true, Max: 50}
	after, g := spend(t, c, b, noon)
	want := quota.Bucket{Used: 1, Reset: noon.Add(15 * time.Minute), Guessed: true, Told: true, Max: 50}
	if diff := cmp.Diff(want, after); diff != "" || g.Limit != 50 {
		t.Errorf("of %d (-want +got):\n%s", g.Limit, diff)
	}
}

func TestWhatXCannotMeanIsNotBelieved(t *testing.T) {
	good := quota.Note{Key: "x", Max: 50, Used: 60, Reset: noon.Add(time.Minute), Window: 15 * time.Minute}
	for name, spoil := range map[string]func(*quota.Note){
		"a negative maximum": func(n *quota.Note) { n.Max = -1 },
		"a negative use":     func(n *quota.Note) { n.Used = -1 },
		"no end":             func(n *quota.Note) { n.Reset = time.Time{} },
		"an end too far":     func(n *quota.Note) { n.Reset = noon.Add(time.Hour) },
	} {
		bad := good
		spoil(&bad)
		if got := quota.Believable([]quota.Note{bad, good}, noon); len(got) != 1 || got[0] != good {
			t.Errorf("%s: believed %+v", name, got)
		}
	}
	huge := good
	huge.Max, huge.Used = 1<<62, 1<<62
	if got := quota.Believable([]quota.Note{huge}, noon); got[0].Max != 1<<50 || got[0].Used != 1<<50 {
		t.Errorf("huge numbers are not bounded: %+v", got)
	}
}

func TestOnlyTheSameWindowTakesBack(t *testing.T) {
	b := quota.Bucket{Used: 3, Reset: noon}
	for _, v := range []struct {
		given int64
		reset time.Time
		want  int64
	}{{2, noon, 1}, {9, noon, 0}, {-2, noon, 3}, {2, noon.Add(-time.Minute), 3}} {
		if got := b.Returned(quota.Return{Given: v.given, Reset: v.reset}).Used; got != v.want {
			t.Errorf("%d of a window until %v: %d used, want %d", v.given, v.reset, got, v.want)
		}
	}
}

// TestTheSameEndToASecondIsTheSameWindow: what was given in it stays given.
func TestTheSameEndToASecondIsTheSameWindow(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	b := quota.Bucket{Used: 50, Reset: at.Add(time.Minute), Told: true, Max: 100}
	for later, used := range map[time.Duration]int64{quota.Slack: 50, quota.Slack + 1: 3} {
		n := quota.Note{Max: 100, Used: 3, Reset: b.Reset.Add(later)}
		if got := b.Noted(n, at).Used; got != used {
			t.Errorf("%v later %d are used, want %d", later, got, used)
		}
	}
}

// TestAWindowThatEndsAfterTheNextIsNotBelieved: it is a wrong clock.
func TestAWindowThatEndsAfterTheNextIsNotBelieved(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	for ends, want := range map[time.Duration]int{time.Minute: 1, 2 * time.Minute: 1, 2*time.Minute + 1: 0} {
		n := quota.Note{Max: 9, Reset: at.Add(ends), Window: time.Minute}
		if got := len(quota.Believable([]quota.Note{n}, at)); got != want {
			t.Errorf("a minute's window that ends in %v: %d believed, want %d", ends, got, want)
		}
	}
}
