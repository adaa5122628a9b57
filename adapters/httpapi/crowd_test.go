package httpapi

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"perch/domain/client"
)

var slowClients = flag.Int("slow", 5000, "how many connections send their header slowly")

// dialFrom opens a connection from an address of this machine.
func dialFrom(t *testing.T, source, base string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(source)}, Timeout: time.Minute}
	c, err := d.Dial("tcp", hostOf(base))
	must(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// unhurried is a door at which nobody leaves but to make room, however slow the machine.
func unhurried(w *patience) { w.header, w.body, w.small = time.Hour, time.Hour, time.Hour }

// inside is how many connections the door holds.
func (h *house) inside() int {
	h.server.mu.Lock()
	w := h.server.ln.crowd
	h.server.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.open)
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("not in time: " + what)
		}
	}
}

func received(t *testing.T, answers <-chan answer) answer {
	t.Helper()
	select {
	case a := <-answers:
		return a
	case <-time.After(30 * time.Second):
		t.Fatal("a request under way has no answer")
	}
	return answer{}
}

// closed reports whether the peer closes the connection soon.
func closed(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(30 * time.Second))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// footprint is what the process has in use, in bytes: heap and stacks, and all that
// is resident.
func footprint(t *testing.T) (inUse, resident uint64) {
	t.Helper()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		var all, pages uint64
		_, err = fmt.Sscan(string(text), &all, &pages)
		must(t, err)
		resident = pages * uint64(os.Getpagesize())
	}
	return m.HeapInuse + m.StackInuse, resident
}

// Attack 63: 5,000 slow headers, keys of 1 MB and requests with 10,000
// headers, while others are served.
func TestThousandsOfSlowClientsTakeBoundedMemoryAndOthersAreServed(t *testing.T) {
	n := *slowClients
	var files syscall.Rlimit
	must(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &files))
	if most := int(min(files.Max, 1<<20)-1000) / 2; n > most {
		if os.Getenv("REQUIRE_BACKENDS") != "" {
			t.Fatalf("%d connections need %d files, and only %d may be open; raise ulimit -n", n, 2*n+1000, files.Max)
		}
		t.Logf("NOT %d: only %d files may be open here", n, files.Max)
		n = most
	}
	files.Cur = files.Max
	must(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &files))
	const header = "GET /2/users/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer sk_"
	for name, open := range map[string]func(t *testing.T, source, base string){
		"in the open": func(t *testing.T, source, base string) {
			_, err := io.WriteString(dialFrom(t, source, base), header)
			must(t, err)
		},
		"in a handshake": func(t *testing.T, source, base string) {
			_, err := io.WriteString(dialFrom(t, source, base), "\x16\x03\x01\x02\x00\x01")
			must(t, err)
		},
		"over TLS": func(t *testing.T, source, base string) {
			c := tls.Client(dialFrom(t, source, base), &tls.Config{RootCAs: trusted().roots, ServerName: "127.0.0.1"})
			_, err := io.WriteString(c, header)
			must(t, err)
		},
	} {
		if name == "over TLS" && !*overTLS { // the handshakes take their time
			continue
		}
		t.Run(name, func(t *testing.T) { slowCrowd(t, name != "in the open", n, open) })
	}
}

func slowCrowd(t *testing.T, secure bool, n int, open func(t *testing.T, source, base string)) {
	h := build(t, plan{
		limits: Limits{Connections: 10_000, PerAddress: 1000}, plain: !secure, tls: secure,
		wait: unhurried,
	})
	if a := h.act("GET", "/2/users/me", ""); a.StatusCode != http.StatusOK {
		t.Fatal(a.StatusCode)
	}
	before, _ := footprint(t)
	for i := range n {
		open(t, fmt.Sprintf("127.1.%d.%d", i%7, 1+i%50), h.public)
	}
	until(t, "all are inside", func() bool { return h.inside() >= n })
	key := "GET /2/users/me HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer " + strings.Repeat("k", 1<<20) + "\r\n\r\n"
	headers := "GET /2/users/me HTTP/1.1\r\nHost: a\r\n" + strings.Repeat("X-A: 1\r\n", 10_000) + "\r\n"
	done := make(chan string)
	go func() {
		defer close(done)
		for range 20 {
			for _, text := range []string{key, headers} {
				if got := raw(t, h.public, text); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
					done <- fmt.Sprintf("%.40q is answered %.100q", text, got)
				}
			}
		}
	}()
	served := 0
	var inUse, resident uint64
	for going := true; going || served < 50; served++ {
		if a := h.act("GET", "/2/users/me", "", "Connection: close"); a.StatusCode != http.StatusOK {
			t.Fatalf("another client is answered %d", a.StatusCode)
		}
		if served%20 == 0 {
			u, r := footprint(t)
			inUse, resident = max(inUse, u), max(resident, r)
		}
		select {
		case say, more := <-done:
			if going = more; more {
				t.Error(say)
			} else {
				done = nil
			}
		default:
		}
	}
	took := inUse - min(before, inUse)
	t.Logf("%d slow connections, 20 keys of 1 MB, 20 requests with 10,000 headers: %d MB of heap and stacks more "+
		"(%d kB for each connection, both ends), %d MB resident; %d requests of another client served meanwhile",
		n, took>>20, took>>10/uint64(n), resident>>20, served)
	if most := uint64(n)*96<<10 + 64<<20; took > most {
		t.Errorf("%d MB more are in use, want at most %d", took>>20, most>>20)
	}
}

func TestWhoSendsNothingMakesRoomWhenTheHouseIsFull(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x, limits: Limits{Connections: 40}, plain: true, wait: unhurried})
	keep := dial(t, h.public) // has been served, and comes back
	must(t, keep.SetDeadline(time.Now().Add(5*time.Minute)))
	const alive = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
	serve := func() bool {
		_, err := io.WriteString(keep, alive)
		b := make([]byte, 4096)
		n, err2 := keep.Read(b)
		return err == nil && err2 == nil && strings.HasPrefix(string(b[:n]), "HTTP/1.1 200 ")
	}
	if !serve() {
		t.Fatal("not served")
	}
	busy := make(chan answer, 1)
	go func() { busy <- h.act("GET", waitPath, "") }()
	wait(t, x.started, "the read reaches X")
	const slowBody = "POST /oauth/token HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"
	var slow []net.Conn
	for i, text := range []string{"", "G", "GET / HTTP/1.1\r\nHost: a\r\n", slowBody} {
		for range 100 {
			c := dialFrom(t, fmt.Sprintf("127.2.0.%d", i+1), h.public)
			_, err := io.WriteString(c, text)
			must(t, err)
			slow = append(slow, c)
		}
		if n := h.inside(); n > 40 {
			t.Errorf("%d connections are inside", n)
		}
		if a := ask(t, "GET", h.public+"/healthz", "", "Connection: close"); a.StatusCode != http.StatusOK {
			t.Errorf("another client: %d", a.StatusCode)
		}
		if !serve() {
			t.Errorf("who waits for its next request is closed before those that send nothing (%q)", text)
		}
	}
	for i, c := range slow[:300] { // those of the last kind are not all gone
		if !closed(c) {
			t.Fatalf("slow connection %d stays open", i)
		}
	}
	close(x.release)
	if a := received(t, busy); a.StatusCode != http.StatusOK {
		t.Errorf("the request under way is answered %d", a.StatusCode)
	}
	if !strings.Contains(h.log.String(), "as many connections as there may be") ||
		strings.Count(h.log.String(), "as many connections as there may be") > 2 {
		t.Errorf("the log has it too often or not at all:\n%s", h.log)
	}
}

func TestANewConnectionIsClosedAtOnceWhenEveryoneInsideIsServed(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x, limits: Limits{Connections: 2}, plain: true})
	answers := make(chan answer, 2)
	for range 2 {
		go func() { answers <- h.act("GET", waitPath, "", "Connection: close") }()
		wait(t, x.started, "the read reaches X")
	}
	if !closed(dial(t, h.public)) {
		t.Error("a third connection is let in")
	}
	close(x.release)
	for range 2 {
		if a := received(t, answers); a.StatusCode != http.StatusOK {
			t.Errorf("served: %d", a.StatusCode)
		}
	}
	until(t, "there is room again", func() bool { return h.inside() == 0 })
	if a := ask(t, "GET", h.public+"/healthz", "", "Connection: close"); a.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", a.StatusCode)
	}
}

func TestOneAddressHasOnlySoManyConnectionsUnlessItIsATrustedProxy(t *testing.T) {
	h := build(t, plan{
		limits: Limits{Connections: 100, PerAddress: 3}, proxies: []string{"127.3.0.2/32"}, plain: true, wait: unhurried,
	})
	var own []net.Conn
	for range 13 {
		own = append(own, dialFrom(t, "127.3.0.1", h.public))
	}
	for i, c := range own[:10] {
		if !closed(c) {
			t.Fatalf("connection %d stays open beside three that are newer", i)
		}
	}
	until(t, "three are inside", func() bool { return h.inside() == 3 })
	for range 10 {
		dialFrom(t, "127.3.0.2", h.public)
	}
	dialFrom(t, "127.3.0.3", h.public)
	until(t, "the proxy and another client are inside", func() bool { return h.inside() == 14 })
	must(t, own[12].Close())
	until(t, "one has left", func() bool { return h.inside() == 13 })
	dialFrom(t, "127.3.0.1", h.public)
	until(t, "another may come", func() bool { return h.inside() == 14 })
}

// Others may share the address: a network behind one router.
func TestWhoSendsNothingMakesRoomForOthersOfItsAddress(t *testing.T) {
	x := newGiver()
	h := build(t, plan{x: x, limits: Limits{Connections: 100, PerAddress: 10}, plain: true, wait: unhurried})
	for range 30 {
		dialFrom(t, "127.0.0.1", h.public)
		if a := ask(t, "GET", h.public+"/healthz", "", "Connection: close"); a.StatusCode != http.StatusOK {
			t.Fatal(a.StatusCode)
		}
	}
	answers := make(chan answer, 10)
	for range 10 {
		go func() { answers <- h.act("GET", waitPath, "", "Connection: close") }()
		wait(t, x.started, "the read reaches X")
	}
	if !closed(dial(t, h.public)) {
		t.Error("an eleventh is let in though all ten are served")
	}
	close(x.release)
	for range 10 {
		if a := received(t, answers); a.StatusCode != http.StatusOK {
			t.Errorf("served: %d", a.StatusCode)
		}
	}
}

// Strangers fill the house: they never read their replies, or are refused and keep
// sending while the door waits for them to read why.
func TestStrangersWhoDoNotTakeTheirRepliesMakeRoom(t *testing.T) {
	const many = 8
	const metadata = "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nHost: a\r\n\r\n"
	for name, stranger := range map[string]func(c net.Conn){
		"reads nothing": func(c net.Conn) {
			tcp, _ := c.(*net.TCPConn)
			_ = tcp.SetReadBuffer(2048)
			_, _ = io.WriteString(c, strings.Repeat(metadata, 40_000))
		},
		"keeps sending": func(c net.Conn) {
			_, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a b\r\n\r\n")
			for err == nil {
				time.Sleep(5 * time.Millisecond)
				_, err = c.Write([]byte("x"))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := build(t, plan{plain: true, limits: Limits{Connections: many, PerAddress: 10}, wait: func(w *patience) {
				w.reply, w.write, w.linger = time.Hour, time.Hour, time.Hour
			}})
			h.narrow() // the kernel would keep megabytes for each
			for i := range many {
				c := dialFrom(t, fmt.Sprintf("127.7.0.%d", 1+i/(many/2)), h.public)
				go stranger(c)
			}
			until(t, "all are inside", func() bool { return h.inside() == many })
			stuck := func() bool {
				h.server.mu.Lock()
				w := h.server.ln.crowd
				h.server.mu.Unlock()
				w.mu.Lock()
				defer w.mu.Unlock()
				return w.all[fresh].Len() == 0 && w.all[idle].Len()+w.all[spent].Len() == many
			}
			until(t, "none of them is missed", stuck)
			for i := range many {
				if a := ask(t, "GET", h.public+"/healthz", "", "Connection: close"); a.StatusCode != http.StatusOK {
					t.Fatalf("request %d of an honest client: %d", i, a.StatusCode)
				}
			}
		})
	}
}

func TestAnAddressOfIPv6CountsForItsNetwork(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.1": "192.0.2.1", "2001:db8:1:2:3:4:5:6": "2001:db8:1:2::", "2001:db8:1:2::9": "2001:db8:1:2::",
	} {
		if got := client.Household(netip.MustParseAddr(addr)).Addr().String(); got != want {
			t.Errorf("%s counts for %s", addr, got)
		}
	}
}

// exhaustedListener has no file left for some connections.
type exhaustedListener struct {
	net.Listener
	failures atomic.Int32
}

func (l *exhaustedListener) Accept() (net.Conn, error) {
	if l.failures.Add(-1) >= 0 {
		return nil, &net.OpError{Op: "accept", Net: "tcp", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	return l.Listener.Accept()
}

func TestADoorWithoutFilesLeftGoesOnWhenThereAreSome(t *testing.T) {
	h := build(t, plan{plain: true})
	ln := &exhaustedListener{Listener: listenLocal(t)}
	ln.failures.Store(5)
	s := newServer(Config{}, h.services, h.server.log)
	s.mount(s.publicRoutes())
	run(t, s, ln)
	if a := ask(t, "GET", "http://"+ln.Addr().String()+"/healthz", ""); a.StatusCode != http.StatusOK {
		t.Errorf("afterwards: %d", a.StatusCode)
	}
	if !strings.Contains(h.log.String(), "raise the limit of open files") {
		t.Error("the log says nothing of it")
	}
}
