package wiring_test

import (
	"bytes"
	"io"
	"net"
	"net/url"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A line is the network between houses and PostgreSQL. It counts what is asked
// on it, and can fall silent.
type line struct {
	url string // of the database by way of the line

	mu      sync.Mutex
	flows   *sync.Cond
	silent  bool
	cut     bool // the test is over
	counted map[string]int
}

// tables are what the hot path would have to read.
func tables() []string { return []string{"grants", "api_keys", "applications", "sessions", "xapps"} }

// lineTo returns a line to the database.
func lineTo(t testing.TB, dsn string) *line {
	t.Helper()
	to, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal("the URL of the database cannot be read")
	}
	ln := listen(t)
	u := url.URL{Scheme: "postgres", Host: ln.Addr().String(), Path: to.Database, User: url.UserPassword(to.User, to.Password)}
	u.RawQuery = url.Values{"sslmode": {"disable"}, "search_path": {to.RuntimeParams["search_path"]}}.Encode()
	l := &line{url: u.String(), counted: map[string]int{}}
	l.flows = sync.NewCond(&l.mu)
	network, address := pgconn.NetworkAddress(to.Host, to.Port)
	var open sync.WaitGroup
	open.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			open.Go(func() { l.connect(c, network, address) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		l.mu.Lock()
		l.cut = true
		l.mu.Unlock()
		l.flows.Broadcast()
		open.Wait()
	})
	return l
}

func (l *line) connect(c net.Conn, network, address string) {
	defer func() { _ = c.Close() }()
	server, err := net.Dial(network, address)
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(carrier{l, server, true}, c)
		_ = server.Close()
	})
	_, _ = io.Copy(carrier{l, c, false}, server)
	_ = c.Close()
	both.Wait()
}

// A carrier takes bytes to one end of the line while it is not silent.
type carrier struct {
	l    *line
	to   io.Writer
	asks bool
}

func (c carrier) Write(p []byte) (int, error) {
	c.l.mu.Lock()
	for c.l.silent && !c.l.cut {
		c.l.flows.Wait()
	}
	cut := c.l.cut
	if c.asks {
		for _, table := range tables() {
			from := `FROM "` + table + `"` // and what is swept is not read
			c.l.counted[table] += bytes.Count(p, []byte(from)) - bytes.Count(p, []byte("DELETE "+from))
		}
	}
	c.l.mu.Unlock()
	if cut {
		return 0, net.ErrClosed
	}
	return c.to.Write(p)
}

// silence stops or starts all that is on the line.
func (l *line) silence(silent bool) {
	l.mu.Lock()
	l.silent = silent
	l.mu.Unlock()
	l.flows.Broadcast()
}

// reads returns how often each table was read so far.
func (l *line) reads() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := map[string]int{}
	for table, count := range l.counted {
		n[table] = count
	}
	return n
}
