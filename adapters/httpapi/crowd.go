package httpapi

import (
	"container/list"
	"log/slog"
	"net/netip"
	"sync"
	"time"
)

// Limits bound the connections of one listener. Zero is no bound.
type Limits struct {
	Connections int // in all
	PerAddress  int // from one IPv4 address, or one /64 of IPv6; trusted proxies may have more
}

// A crowd is the open connections of a listener. When it is full those that have
// not sent a request yet make room, the longest there first, then those that wait
// between two requests; a request under way is never cut off.
type crowd struct {
	limits Limits
	exempt func(netip.Addr) bool
	log    *slog.Logger

	mu    sync.Mutex
	open  map[*conn]*list.Element // nil for one with a request under way
	from  map[netip.Addr]int
	fresh *list.List // have not sent a whole request yet
	idle  *list.List // wait for another one
	told  time.Time
}

func newCrowd(limits Limits, exempt func(netip.Addr) bool, log *slog.Logger) *crowd {
	return &crowd{
		limits: limits, exempt: exempt, log: log, open: map[*conn]*list.Element{}, from: map[netip.Addr]int{},
		fresh: list.New(), idle: list.New(),
	}
}

// enter takes the connection in, or reports that there is no room for it.
func (w *crowd) enter(c *conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	house := household(c.addr)
	if max := w.limits.PerAddress; max > 0 && w.from[house] >= max && !w.exempt(c.addr) {
		w.tell("one address has as many connections as it may; more of it are closed", "address", house.String())
		return false
	}
	if max := w.limits.Connections; max > 0 && len(w.open) >= max {
		w.tell("there are as many connections as there may be; those that send nothing are closed", "connections", max)
		if !w.makeRoom() {
			return false
		}
	}
	w.open[c] = w.fresh.PushBack(c)
	w.from[house]++
	return true
}

// makeRoom closes the connection that is missed least.
func (w *crowd) makeRoom() bool {
	for _, waiting := range []*list.List{w.fresh, w.idle} {
		if first := waiting.Front(); first != nil {
			c, _ := first.Value.(*conn)
			w.forget(c)
			_ = c.raw.Close()
			return true
		}
	}
	return false
}

// shed closes one connection because the system has no room for more.
func (w *crowd) shed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell("the system gives no more connections; raise the limit of open files, or lower the limit of connections",
		"connections", len(w.open))
	w.makeRoom()
}

// tell logs once a minute: whoever fills the house could fill the log too.
func (w *crowd) tell(say string, args ...any) {
	if now := time.Now(); now.Sub(w.told) >= time.Minute {
		w.told = now
		w.log.Warn(say, args...)
	}
}

// leave forgets a connection that has been closed.
func (w *crowd) leave(c *conn) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.forget(c)
}

func (w *crowd) forget(c *conn) {
	if _, in := w.open[c]; !in {
		return
	}
	w.unlist(c)
	delete(w.open, c)
	house := household(c.addr)
	if w.from[house]--; w.from[house] <= 0 {
		delete(w.from, house)
	}
}

func (w *crowd) unlist(c *conn) {
	if e := w.open[c]; e != nil {
		w.fresh.Remove(e)
		w.idle.Remove(e)
	}
}

// set puts the connection among those that wait, or among none.
func (w *crowd) set(c *conn, waiting *list.List) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, in := w.open[c]; !in {
		return
	}
	w.unlist(c)
	w.open[c] = nil
	if waiting != nil {
		w.open[c] = waiting.PushBack(c)
	}
}

// closeIf closes those for which end says so.
func (w *crowd) closeIf(end func(*conn) bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.open {
		if end(c) {
			_ = c.raw.Close()
		}
	}
}

// household is whom an address counts for: who has one address of IPv6 has all of
// the /64.
func household(addr netip.Addr) netip.Addr {
	if !addr.Is6() {
		return addr
	}
	p, err := addr.Prefix(64)
	if err != nil {
		return addr
	}
	return p.Addr()
}
