package cache

import (
	"context"
	"fmt"
	"testing"
	"time"

	"perch/ports"
)

func TestWhatWasNotUsedForLongestGoesFirst(t *testing.T) {
	const size = 100
	s := newShelf(10 * (size + overhead))
	name := func(i int) key { return key{path: fmt.Sprintf("%03d", i)} }
	for i := range 9 {
		s.put(name(i), answer{body: make([]byte, size-3)})
	}
	s.get(name(0))
	s.put(name(1), answer{body: make([]byte, size-3)}) // in place of what is there
	for i := 9; i < 12; i++ {
		s.put(name(i), answer{body: make([]byte, size-3)})
	}
	var left []int
	for i := range 12 {
		if _, ok := s.get(name(i)); ok {
			left = append(left, i)
		}
	}
	if fmt.Sprint(left) != "[0 1 4 5 6 7 8 9 10 11]" || s.taken != s.room {
		t.Errorf("left are %v in %d bytes of %d", left, s.taken, s.room)
	}
}

func TestNoAnswerTakesTheRoomOfMany(t *testing.T) {
	s := newShelf(100_000)
	s.put(key{}, answer{body: make([]byte, 12_500)})
	if s.taken != 0 || s.recent.Len() != 0 {
		t.Errorf("%d bytes are taken", s.taken)
	}
}

func TestWhatWasReplacedIsNotDropped(t *testing.T) {
	s, old := newShelf(room), answer{asked: time.Unix(1, 0)}
	s.put(key{}, old)
	s.put(key{}, answer{asked: time.Unix(2, 0)})
	if s.drop(key{}, old); s.recent.Len() != 1 {
		t.Error("the newer one is gone")
	}
	if s.drop(key{}, answer{asked: time.Unix(2, 0)}); s.recent.Len() != 0 || s.taken != 0 || len(s.byKey) != 0 {
		t.Error("it is still there")
	}
}

// Whoever found nothing kept may come to the flight when it has just landed.
func TestWhatHasJustLandedIsNotAskedAgain(t *testing.T) {
	s, k := New(nil, nil, time.Now), key{path: "/2/users/me"}
	s.shelf.put(k, answer{body: []byte("{}"), asked: time.Now()})
	kept := func() (ports.Reply, bool) {
		a, age, ok := s.find(k, time.Minute)
		return hit(a, age, time.Minute), ok
	}
	r, joined, err := s.together(t.Context(), k, kept, func(context.Context) (ports.Reply, error) {
		t.Error("X is asked again")
		return ports.Reply{}, nil
	})
	if err != nil || !joined || string(r.Whole) != "{}" {
		t.Errorf("%q, joined: %t: %v", r.Whole, joined, err)
	}
}
