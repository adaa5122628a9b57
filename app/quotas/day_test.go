package quotas_test

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"perch/domain/xapp"
	"perch/ports"
)

const (
	lists = "getUsersOwnedLists" // X allows 15 in 15 minutes, for each user and for the X App itself
	posts = "createPosts"        // X allows 100 in 15 minutes for each user, 10,000 a day for the X App

	trends = "getTrendsPersonalizedTrends" // X allows 10 in 15 minutes and 100 a day for each user
)

// A dayBook says what the client applications got in a day.
type dayBook struct {
	got, wanted map[string]*[3]atomic.Int64 // by action, of each client application
	odd         atomic.Int64
}

func newDayBook(kinds ...string) *dayBook {
	b := &dayBook{got: map[string]*[3]atomic.Int64{}, wanted: map[string]*[3]atomic.Int64{}}
	for _, k := range kinds {
		b.got[k], b.wanted[k] = &[3]atomic.Int64{}, &[3]atomic.Int64{}
	}
	return b
}

func kind(v wish) string {
	if v.user < 0 {
		return v.action + " by the X App"
	}
	return v.action
}

func (b *dayBook) note(v wish, reply ports.Reply, err error) {
	b.wanted[kind(v)][v.app].Add(1)
	switch {
	case err == nil && reply.Status < 300:
		b.got[kind(v)][v.app].Add(1)
	case !isLimit(err, "x-rate-limit"):
		b.odd.Add(1)
	}
}

func numbers(of *[3]atomic.Int64) []int64 {
	return []int64{of[0].Load(), of[1].Load(), of[2].Load()}
}

// fair prints what each application got and how fair that was.
func (b *dayBook) fair(t *testing.T) {
	t.Helper()
	total := make([]int64, 3)
	for k := range b.got {
		n := numbers(b.got[k])
		for i := range n {
			total[i] += n[i]
		}
		t.Logf("%s: wanted %v, got %v, Jain index %.4f", k, numbers(b.wanted[k]), n, jain(n))
		if jain(n) < 0.95 {
			t.Errorf("%s: three applications that all want more than their share get %v", k, n)
		}
	}
	t.Logf("all together: %v, Jain index %.4f", total, jain(total))
	if b.odd.Load() > 0 {
		t.Errorf("%d calls ended neither well nor at X's limits", b.odd.Load())
	}
}

// live lets a day pass, a step at a time.
func live(t *testing.T, w *world, b *dayBook, step time.Duration, want func(i int) []wish) {
	t.Helper()
	for _, q := range w.quotas {
		q.Among(&tenants{all: registered(xapp.Default, 3)})
	}
	for i := range int(24 * time.Hour / step) {
		w.all(want(i), b.note)
		w.advance(step)
	}
	refused, asked := w.refusals()
	t.Logf("X was asked %d times and answered 429 %d times", asked, refused)
	if refused > 0 {
		t.Errorf("X answered 429 %d times", refused)
	}
	b.fair(t)
}

// TestADayUnderTwiceTheLoadNeverMeetsX429: 50 users, 3 client applications, X's
// published windows, and of everything at least twice what they allow.
func TestADayUnderTwiceTheLoadNeverMeetsX429(t *testing.T) {
	w := newWorld(t, 50, 2, nil)
	dice := rand.New(rand.NewPCG(1, 2))
	b := newDayBook(lists, posts, trends, lists+" by the X App")
	live(t, w, b, time.Minute, func(i int) []wish {
		var all []wish
		for u := range 50 {
			if u%5 == i/15%5 { // 30 in 15 minutes, of every fifth user in turn
				all = append(all, wish{app: dice.IntN(3), user: u, action: lists}, wish{app: dice.IntN(3), user: u, action: lists})
			}
			if u%5 == i%5 { // 288 a day of each user
				all = append(all, wish{app: dice.IntN(3), user: u, action: trends})
			}
			if i%60 == 30 { // and 20 at once each hour
				for range 20 {
					all = append(all, wish{app: dice.IntN(3), user: u, action: trends})
				}
			}
		}
		for range 14 { // 20,000 a day of the X App
			all = append(all, wish{app: dice.IntN(3), user: dice.IntN(50), action: posts, body: text(dice)})
		}
		if i%15 == 7 { // 200 of one user at once
			for range 200 {
				all = append(all, wish{app: dice.IntN(3), user: i / 15 % 50, action: posts, body: text(dice)})
			}
		}
		all = append(all, wish{app: dice.IntN(3), user: -1, action: lists}, wish{app: dice.IntN(3), user: -1, action: lists})
		dice.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all
	})
}

// TestANoisyApplicationStarvesNobody: one of three client applications asks ten
// times as often as the others, who want a little more than their share.
func TestANoisyApplicationStarvesNobody(t *testing.T) {
	w := newWorld(t, 50, 2, nil)
	dice := rand.New(rand.NewPCG(3, 4))
	b := newDayBook(posts, lists+" by the X App")
	weights := []int{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2}
	live(t, w, b, time.Minute, func(int) []wish {
		var all []wish
		for range 30 {
			all = append(all, wish{app: weights[dice.IntN(len(weights))], user: dice.IntN(50), action: posts, body: text(dice)})
		}
		for range 6 {
			all = append(all, wish{app: weights[dice.IntN(len(weights))], user: -1, action: lists})
		}
		return all
	})
}

func text(dice *rand.Rand) string { return fmt.Sprintf(`{"text":"post %x"}`, dice.Uint64()) }
