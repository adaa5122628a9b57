package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"perch/app/keyset"
)

// linesEvery is how often progress is written where nobody watches.
const linesEvery = 10 * time.Second

// A bar shows how far a long task is: on a terminal in one line that changes,
// elsewhere in a line now and then.
type bar struct {
	to       io.Writer
	terminal bool
	last     time.Time
	width    int // of what is on the line
}

func newBar(to io.Writer) *bar {
	b := &bar{to: to, last: time.Now()}
	if f, ok := to.(*os.File); ok {
		stat, err := f.Stat()
		b.terminal = err == nil && stat.Mode()&os.ModeCharDevice != 0
	}
	return b
}

func (b *bar) tell(p keyset.Progress) {
	every := linesEvery
	if b.terminal {
		every = 100 * time.Millisecond
	}
	if time.Since(b.last) < every {
		return
	}
	b.last = time.Now()
	if !b.terminal {
		_, _ = fmt.Fprintln(b.to, inLine(p))
		return
	}
	text := inLine(p)
	if p.Of > 0 {
		const cells = 30
		full := min(cells, cells*p.Rows/p.Of)
		text = "[" + strings.Repeat("#", full) + strings.Repeat(".", cells-full) + "] " + text
	}
	b.write(text)
}

func inLine(p keyset.Progress) string {
	switch {
	case p.Of > 0:
		return fmt.Sprintf("%s: %d of %d (%d %%)", p.Doing, p.Rows, p.Of, min(100, 100*p.Rows/p.Of))
	case p.Rows > 0:
		return fmt.Sprintf("%s: %d", p.Doing, p.Rows)
	}
	return p.Doing
}

func (b *bar) write(text string) {
	_, _ = fmt.Fprintf(b.to, "\r%-*s", b.width, text)
	b.width = len(text)
}

// end clears the line.
func (b *bar) end() {
	if b.width > 0 {
		b.write("")
		_, _ = io.WriteString(b.to, "\r")
		b.width = 0
	}
}
