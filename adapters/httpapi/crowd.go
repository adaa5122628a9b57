package httpapi

import (
	"container/list"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"perch/domain/client"
)

// Limits bound the connections of one listener. Zero is no bound.
type Limits struct {
	Connections int // in all
	PerAddress  int // from one IPv4 address, or one /64 of IPv6; trusted proxies may have more
}

// A rank is how much a connection would be missed.
type rank int

const (
	spent rank = iota // has been refused, and lingers
	fresh             // has not sent a whole request yet
	idle              // waits for another one, or takes a reply that anybody may have
	busy              // has a request under way
)

// A queue is connections that make room, by rank; in each the longest there is first.
type queue [busy]list.List

func (q *queue) first() *conn {
	for i := range q {
		if e := q[i].Front(); e != nil {
			c, _ := e.Value.(*conn)
			return c
		}
	}
	return nil
}

// A spot is where a connection stands in the two queues; nowhere if it is busy.
type spot struct {
	rank     rank
	all, own *list.Element
}

// A home is the connections of one address, or one /64 of IPv6.
type home struct {
	queue
	open int
}

// A crowd is the open connections of a listener. When it is full those of the
// lowest rank make room, the longest there first; one that is busy is never cut off.
// So it is when one address has as many as it may, among its own.
type crowd struct {
	limits Limits
	exempt func(netip.Addr) bool
	log    *slog.Logger

	mu    sync.Mutex
	open  map[*conn]*spot
	all   queue
	homes map[netip.Prefix]*home
	told  time.Time
}

func newCrowd(limits Limits, exempt func(netip.Addr) bool, log *slog.Logger) *crowd {
	return &crowd{
		limits: limits, exempt: exempt, log: log, open: map[*conn]*spot{}, homes: map[netip.Prefix]*home{},
	}
}

// enter takes the connection in, or reports that there is no room for it.
func (w *crowd) enter(c *conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	addr := client.Household(c.addr)
	if own, max := w.homes[addr], w.limits.PerAddress; own != nil && max > 0 && own.open >= max && !w.exempt(c.addr) {
		w.tell("one address has as many connections as it may; those of it that send nothing are closed",
			"address", addr.String())
		if !w.drop(own.first()) {
			return false
		}
	}
	if max := w.limits.Connections; max > 0 && len(w.open) >= max {
		w.tell("there are as many connections as there may be; those that send nothing are closed", "connections", max)
		if !w.drop(w.all.first()) {
			return false
		}
	}
	if w.homes[addr] == nil {
		w.homes[addr] = &home{}
	}
	w.homes[addr].open++
	w.open[c] = &spot{rank: busy}
	w.place(c, fresh)
	return true
}

// drop closes the connection, if there is one.
func (w *crowd) drop(c *conn) bool {
	if c == nil {
		return false
	}
	w.forget(c)
	_ = c.raw.Close()
	return true
}

// shed closes one connection because the system has no room for more.
func (w *crowd) shed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.tell("the system gives no more connections; raise the limit of open files, or lower the limit of connections",
		"connections", len(w.open))
	w.drop(w.all.first())
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
	if w.open[c] == nil {
		return
	}
	w.place(c, busy)
	delete(w.open, c)
	addr := client.Household(c.addr)
	if own := w.homes[addr]; own.open > 1 {
		own.open--
	} else {
		delete(w.homes, addr)
	}
}

// place puts a connection that is inside at the end of its rank.
func (w *crowd) place(c *conn, to rank) {
	at, own := w.open[c], w.homes[client.Household(c.addr)]
	if at.rank < busy {
		w.all[at.rank].Remove(at.all)
		own.queue[at.rank].Remove(at.own)
	}
	*at = spot{rank: to}
	if to < busy {
		at.all, at.own = w.all[to].PushBack(c), own.queue[to].PushBack(c)
	}
}

// set gives the connection another rank.
func (w *crowd) set(c *conn, to rank) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.open[c] != nil {
		w.place(c, to)
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
