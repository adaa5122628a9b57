package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// How often progress is shown: as a bar on a terminal, else as lines.
const (
	barEvery  = 200 * time.Millisecond
	lineEvery = 10 * time.Second
	barWidth  = 30
)

// A progress tells how far a long piece of work has come.
type progress struct {
	p     *program
	what  string // of what, as "grants"
	total int    // 0: nobody knows
	bar   bool
	last  time.Time
}

func (p *program) progress(what string, total int) *progress {
	return &progress{p: p, what: what, total: total, bar: terminal(p.err), last: time.Now()}
}

// terminal reports whether a person looks at what is written.
func terminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	stat, err := f.Stat()
	return err == nil && stat.Mode()&os.ModeCharDevice != 0
}

// at tells that n are done, unless it did a moment ago.
func (g *progress) at(n int) {
	every := lineEvery
	if g.bar {
		every = barEvery
	}
	if time.Since(g.last) < every {
		return
	}
	g.last = time.Now()
	switch {
	case g.bar && g.total > 0:
		done := barWidth * min(n, g.total) / g.total
		g.p.note("\r[%s%s] %d/%d %s ", strings.Repeat("#", done), strings.Repeat(".", barWidth-done), n, g.total, g.what)
	case g.bar:
		g.p.note("\r%d %s ", n, g.what)
	case g.total > 0:
		g.p.note("%d of %d %s so far\n", n, g.total, g.what)
	default:
		g.p.note("%d %s so far\n", n, g.what)
	}
}

// end clears the line of the bar.
func (g *progress) end() {
	if g.bar {
		g.p.note("\r%s\r", strings.Repeat(" ", barWidth+len(fmt.Sprintf("[] %d/%d %s ", g.total, g.total, g.what))))
	}
}
