package wiring_test

import (
	"bufio"
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"math"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"perch/domain/apikey"
	"perch/domain/client"
)

var timings = flag.Int("timings", 0, "how many timings of authentications to take of each kind and store; 0: none")

// caller times requests, each address coming up with few wrong keys: it moves on
// before wrong keys are slowed.
type caller struct {
	t    *testing.T
	at   string
	warm string // a key that is let in
	n    int
	conn net.Conn
	read *bufio.Reader
}

// time sends a request whose answer needs nothing but the gate, and returns how
// long it takes until the answer begins, in microseconds.
func (c *caller) time(key string, status int) float64 {
	c.t.Helper()
	if c.n%8 == 0 {
		c.move()
	}
	c.n++
	return c.send(key, status)
}

func (c *caller) send(key string, status int) float64 {
	c.t.Helper()
	request := "GET /v1/grants?no=such HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + key + "\r\n\r\n"
	began := time.Now()
	if _, err := io.WriteString(c.conn, request); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.read.Peek(1); err != nil {
		c.t.Fatal(err)
	}
	took := time.Since(began)
	res, err := http.ReadResponse(c.read, nil)
	if err != nil || res.StatusCode != status {
		c.t.Fatalf("got %v %v, want %d", res, err, status)
	}
	_, _ = io.Copy(io.Discard, res.Body)
	_ = res.Body.Close()
	return float64(took.Nanoseconds()) / 1000
}

// move goes to the next address of loopback, and warms the connection up.
func (c *caller) move() {
	c.t.Helper()
	if c.conn != nil {
		_ = c.conn.Close()
	}
	i := c.n/8 + 1
	from := &net.TCPAddr{IP: net.IPv4(127, byte(1+i>>16), byte(i>>8), byte(i))}
	var err error
	if c.conn, err = (&net.Dialer{LocalAddr: from}).DialContext(c.t.Context(), "tcp", c.at); err != nil {
		c.t.Fatal(err)
	}
	c.read = bufio.NewReader(c.conn)
	for range 4 {
		c.send(c.warm, http.StatusBadRequest)
	}
}

// TestTimeDoesNotTellWhichKeysThereAre times existing and unknown keys in turn
// and prints whether they separate: make timing. It fails for nothing, since
// clocks of busy machines prove nothing.
func TestTimeDoesNotTellWhichKeysThereAre(t *testing.T) {
	if *timings == 0 {
		t.Skip("measuring takes minutes; make timing does")
	}
	for _, e := range environments()[:3] {
		t.Run(e.name, func(t *testing.T) {
			cfg := settings(t, e, "http://127.0.0.1:1")
			cfg.LogLevel = "error"
			h := open(t, cfg)
			app := h.register(t, pageA, "")
			c := &caller{t: t, at: mustURL(t, h.public), warm: app.sk}
			defer func() { _ = c.conn.Close() }()
			unknown := func(int) string { return "sk_" + rand.Text() }
			gone, good := h.mint(t, app, *timings, true), h.mint(t, app, *timings, false)
			warm := func(int) string { return app.sk }
			again := unknown(0)
			for _, m := range []struct {
				name   string
				one    func(i int) string
				status int
				other  func(i int) string
			}{
				{"unknown keys among themselves (what noise looks like)", unknown, http.StatusUnauthorized, unknown},
				{"existing but revoked keys, and unknown ones", func(i int) string { return gone[i] }, http.StatusUnauthorized, unknown},
				{"existing keys that come for the first time, and unknown ones", func(i int) string { return good[i] }, http.StatusBadRequest, unknown},
				{"one key in use, and one unknown key again and again", warm, http.StatusBadRequest, func(int) string { return again }},
			} {
				var x, y []float64
				coin := mathrand.New(mathrand.NewPCG(1, 2))
				for i := range *timings {
					if coin.IntN(2) == 0 { // so that neither is what always follows the other
						x = append(x, c.time(m.one(i), m.status))
						y = append(y, c.time(m.other(i), http.StatusUnauthorized))
					} else {
						y = append(y, c.time(m.other(i), http.StatusUnauthorized))
						x = append(x, c.time(m.one(i), m.status))
					}
				}
				t.Logf("%s: %s", m.name, compared(x, y))
			}
		})
	}
}

func mustURL(t *testing.T, text string) string {
	t.Helper()
	u, err := url.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return u.Host
}

// mint makes n keys of the tenant, and ends them if they are to be gone.
func (h *house) mint(t *testing.T, to tenant, n int, gone bool) []string {
	t.Helper()
	keys := make([]string, n)
	for i := range keys {
		k, text, err := h.Clients.IssueKey(t.Context(), apikey.Key{App: client.AppID(to.id), Kind: apikey.Secret})
		if err != nil {
			t.Fatal(err)
		}
		keys[i] = text.Reveal()
		if gone {
			if _, err := h.Clients.RevokeKey(context.Background(), k.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	return keys
}

// compared tells how well times tell two kinds apart. AUC is the chance that one
// of the first takes longer than one of the second (Mann and Whitney's U over
// the number of pairs), with its 95% interval if there is no difference: 0.5 is
// a coin, 1 or 0 a sure sign.
func compared(x, y []float64) string {
	type timing struct {
		took  float64
		first bool
	}
	var all []timing
	for i := range x {
		all = append(all, timing{x[i], true}, timing{y[i], false})
	}
	slices.SortFunc(all, func(a, b timing) int {
		switch {
		case a.took < b.took:
			return -1
		case a.took > b.took:
			return 1
		}
		return 0
	})
	ranks := 0.0
	for i := 0; i < len(all); {
		j := i
		for j < len(all) && all[j].took == all[i].took {
			j++
		}
		for k := i; k < j; k++ {
			if all[k].first {
				ranks += float64(i+j+1) / 2
			}
		}
		i = j
	}
	n := float64(len(x))
	auc := (ranks - n*(n+1)/2) / (n * n)
	off := 1.96 * math.Sqrt((2*n+1)/(12*n*n))
	slices.Sort(x)
	slices.Sort(y)
	verdict := "do not separate"
	if math.Abs(auc-0.5) > off {
		verdict = "differ measurably"
	}
	return fmt.Sprintf("%d timings each; medians %.1f and %.1f µs; AUC %.4f, noise alone gives 0.5 ± %.4f; they %s",
		len(x), x[len(x)/2], y[len(y)/2], auc, off, verdict)
}
