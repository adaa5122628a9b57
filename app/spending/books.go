package spending

import (
	"crypto/rand"
	"sync"

	"perch/domain/spend"
)

// How much is remembered at most: lines that are told apart, resources that are
// known to be billed, and calls that wait to be written.
const (
	mostLines = 50_000
	mostKnown = 200_000
	mostLate  = 20_000
)

// books add up what calls came to here, and know resources that are billed.
type books struct {
	mu     sync.Mutex
	writer string
	totals map[spend.Line]spend.Amount // of this writer
	dirty  map[spend.Line]bool         // what the store does not have yet
	day    spend.Day
	known  map[spend.Resource]bool // to be billed, of the day
}

func newBooks() *books {
	return &books{
		writer: rand.Text(), totals: map[spend.Line]spend.Amount{}, dirty: map[spend.Line]bool{},
		known: map[spend.Resource]bool{},
	}
}

// add adds a call to its line. Where there are too many, grants are not told
// apart any more: no money is forgotten.
func (b *books) add(l spend.Line, a spend.Amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, ok := b.totals[l]; !ok && len(b.totals) >= mostLines {
		l.Grant = ""
	}
	b.totals[l] = b.totals[l].Plus(a)
	b.dirty[l] = true
}

// unwritten returns the totals that the store does not have, which counts as
// having written them.
func (b *books) unwritten() (writer string, lines []spend.Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for l := range b.dirty {
		full := l
		full.Amount = b.totals[l]
		lines = append(lines, full)
	}
	clear(b.dirty)
	return b.writer, lines
}

// failed takes back that the lines were written.
func (b *books) failed(lines []spend.Line) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range lines {
		l.Amount = spend.Amount{}
		b.dirty[l] = true
	}
}

// rest begins anew with another writer when there are many totals, all of which
// the store has.
func (b *books) rest() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.dirty) == 0 && len(b.totals) > mostLines/2 {
		b.writer = rand.Text()
		clear(b.totals)
	}
}

// claim returns the marks of resources that are not known to be billed, and knows
// that they are from now on: whoever claims them has the store mark them.
func (b *books) claim(marks []spend.Mark) (left []spend.Mark) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range marks {
		if b.known[m.Resource] {
			continue
		}
		if m.Day > b.day || len(b.known) >= mostKnown {
			b.day = max(b.day, m.Day)
			clear(b.known)
		}
		b.known[m.Resource] = true
		left = append(left, m)
	}
	return left
}

// late are calls whose end is to be written.
type late struct {
	mu      sync.Mutex
	entries []entry
}

// add returns false if too many wait already.
func (l *late) add(e entry) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) >= mostLate {
		return false
	}
	l.entries = append(l.entries, e)
	return true
}

// take takes the first ones, n at most.
func (l *late) take(n int) []entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	n = min(n, len(l.entries))
	taken := l.entries[:n:n]
	if l.entries = l.entries[n:]; len(l.entries) == 0 {
		l.entries = nil
	}
	return taken
}

// putBack puts what was taken behind all others, however many they are.
func (l *late) putBack(entries []entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = append(l.entries, entries...)
}

func (l *late) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}
