package xhttp

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"io"
	"net"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"perch/ports"
)

// HTTP/2 frame types and error codes (RFC 9113 sections 6 and 7).
const (
	frameHeaders  = 1
	frameReset    = 3
	frameSettings = 4
	protocolError = 1
	refusedStream = 7
)

// resetting speaks just enough HTTP/2 to take every request in and reset it.
func resetting(t *testing.T, code uint32) (*Gateway, *atomic.Int64) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.EnableHTTP2 = true
	s.StartTLS() // for its certificate only
	t.Cleanup(s.Close)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	var requests atomic.Int64
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go resetAll(c, code, &requests)
		}
	}()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	g, err := New(Config{
		APIURL: "https://" + l.Addr().String(), TLS: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		WaitTimeout: 20 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Close)
	return g, &requests
}

func resetAll(c net.Conn, code uint32, requests *atomic.Int64) {
	defer func() { _ = c.Close() }()
	preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
	if _, err := io.ReadFull(c, preface); err != nil {
		return
	}
	_, _ = c.Write([]byte{0, 0, 0, frameSettings, 0, 0, 0, 0, 0})
	head := make([]byte, 9)
	for {
		if _, err := io.ReadFull(c, head); err != nil {
			return
		}
		size := int64(head[0])<<16 | int64(head[1])<<8 | int64(head[2])
		if _, err := io.CopyN(io.Discard, c, size); err != nil {
			return
		}
		if head[3] != frameHeaders {
			continue
		}
		requests.Add(1)
		reset := append([]byte{0, 0, 4, frameReset, 0}, head[5:9]...)
		if _, err := c.Write(binary.BigEndian.AppendUint32(reset, code)); err != nil {
			return
		}
	}
}

// net/http sends a request without a body again after a PROTOCOL_ERROR, although
// the other side may have acted on it.
func TestAPostThatIsResetIsNotSentAgain(t *testing.T) {
	for name, code := range map[string]uint32{"PROTOCOL_ERROR": protocolError, "REFUSED_STREAM": refusedStream} {
		for kind, c := range map[string]ports.Call{"with a body": posting(t), "without a body": finalizing(t)} {
			t.Run(name+" "+kind, func(t *testing.T) {
				t.Parallel()
				g, requests := resetting(t, code)
				if err := drop(g.Do(t.Context(), c)); err == nil {
					t.Error("there was no error")
				}
				if n := requests.Load(); n != 1 {
					t.Errorf("X got the call %d times", n)
				}
			})
		}
	}
}

func TestATokenCallThatIsResetIsNotMadeAgain(t *testing.T) {
	for call, present := range presentations {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			g, requests := resetting(t, protocolError)
			if err := drop(present(t.Context(), g, confidential)); err == nil {
				t.Error("there was no error")
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("X got the call %d times", n)
			}
		})
	}
}
