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
	mu    sync.Mutex
	page  *page // that is written on
	full  *page // the one before, until the store has it; or nil
	day   spend.Day
	known map[spend.Resource]bool // to be billed, of the day
}

// A page adds up a part of the time. For the store each is another writer, so one
// that the store has can be put away.
type page struct {
	writer string
	day    spend.Day                   // the last that a line is of
	totals map[spend.Line]spend.Amount // of this writer
	dirty  map[spend.Line]bool         // what the store does not have yet
}

func newBooks() *books { return &books{page: newPage(), known: map[spend.Resource]bool{}} }

func newPage() *page {
	return &page{writer: rand.Text(), totals: map[spend.Line]spend.Amount{}, dirty: map[spend.Line]bool{}}
}

// add adds a call to its line. Where there are too many, grants are not told
// apart any more: no money is forgotten.
func (b *books) add(l spend.Line, a spend.Amount) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.page
	if _, ok := p.totals[l]; !ok && len(p.totals) >= mostLines {
		l.Grant = ""
	}
	p.totals[l] = p.totals[l].Plus(a)
	p.dirty[l] = true
	p.day = max(p.day, l.Day)
}

// A writing is what the store does not have of a page.
type writing struct {
	page  *page
	lines []spend.Line
}

// unwritten returns what the store does not have, which counts as written from
// now on.
func (b *books) unwritten() (all []writing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range []*page{b.full, b.page} {
		if p == nil || len(p.dirty) == 0 {
			continue
		}
		w := writing{page: p}
		for l := range p.dirty {
			full := l
			full.Amount = p.totals[l]
			w.lines = append(w.lines, full)
		}
		clear(p.dirty)
		all = append(all, w)
	}
	return all
}

// failed takes back that the lines were written.
func (b *books) failed(w writing) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range w.lines {
		l.Amount = spend.Amount{}
		w.page.dirty[l] = true
	}
}

// turn begins a new page where there are many totals, or where they are of days
// that are over. The page before must have been written by then.
func (b *books) turn(today spend.Day) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.full != nil && len(b.full.dirty) == 0 {
		b.full = nil
	}
	over := len(b.page.totals) > 0 && b.page.day < today
	if b.full != nil || !over && len(b.page.totals) <= mostLines/2 {
		return
	}
	if len(b.page.dirty) > 0 {
		b.full = b.page
	}
	b.page = newPage()
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

// unknown returns of how many marks the resource is not known to be billed.
func (b *books) unknown(marks []spend.Mark) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range marks {
		if !b.known[m.Resource] {
			n++
		}
	}
	return n
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
