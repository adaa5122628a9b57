package wiring_test

import (
	"fmt"
	"syscall"
	"testing"
)

// ownPort returns an address of loopback at which the test may listen, go away and
// listen again. It stays bound here, where it never listens, so that the system
// gives it to nobody in between.
func ownPort(t testing.TB) string {
	t.Helper()
	bound, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(bound) })
	syscall.CloseOnExec(bound)
	if err := syscall.SetsockoptInt(bound, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil { // as the listener does
		t.Fatal(err)
	}
	if err := syscall.Bind(bound, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(bound)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("127.0.0.1:%d", at.(*syscall.SockaddrInet4).Port)
}
