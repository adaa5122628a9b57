package cache

import (
	"container/list"
	"sync"
	"time"
)

// room is how many bytes are kept at most.
const room = 32 << 20

// overhead is what keeping an answer takes besides its bytes and its key.
const overhead = 512

// An answer of X's.
type answer struct {
	body  []byte
	kind  string // Content-Type
	asked time.Time
	turn  uint64
}

// A shelf keeps answers. When it is full those go that were not used for longest.
type shelf struct {
	room int

	mu     sync.Mutex
	taken  int
	byKey  map[key]*list.Element
	recent *list.List // of *kept, the last used in front
}

type kept struct {
	key    key
	answer answer
}

func (k *kept) weight() int { return len(k.answer.body) + k.key.weight() + overhead }

func newShelf(room int) *shelf {
	return &shelf{room: room, byKey: map[key]*list.Element{}, recent: list.New()}
}

func (s *shelf) get(k key) (answer, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byKey[k]
	if e == nil {
		return answer{}, false
	}
	s.recent.MoveToFront(e)
	return e.Value.(*kept).answer, true
}

// put keeps the answer, unless it would take an eighth of the room.
func (s *shelf) put(k key, a answer) {
	one := &kept{k, a}
	if one.weight() > s.room/8 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[k]; e != nil {
		s.remove(e)
	}
	s.byKey[k] = s.recent.PushFront(one)
	for s.taken += one.weight(); s.taken > s.room; {
		s.remove(s.recent.Back())
	}
}

func (s *shelf) remove(e *list.Element) {
	one := s.recent.Remove(e).(*kept)
	delete(s.byKey, one.key)
	s.taken -= one.weight()
}

// drop takes the answer away if it is still that one.
func (s *shelf) drop(k key, a answer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.byKey[k]; e != nil && e.Value.(*kept).answer.asked.Equal(a.asked) {
		s.remove(e)
	}
}
