package conformance

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
)

// OwnPort returns an address of loopback at which the test may listen, go away and
// listen again. It stays bound here, where nobody ever listens, so that the system
// gives it to nobody in between, and whoever calls there is refused.
func OwnPort(t testing.TB) string {
	t.Helper()
	bound, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Close(bound) })
	syscall.CloseOnExec(bound)
	err = errors.Join( // listeners share the address as this does
		syscall.SetsockoptInt(bound, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1),
		syscall.Bind(bound, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}),
	)
	if err != nil {
		t.Fatal(err)
	}
	at, err := syscall.Getsockname(bound)
	if err != nil {
		t.Fatal(err)
	}
	inet, ok := at.(*syscall.SockaddrInet4)
	if !ok {
		t.Fatalf("the system gave the address %v", at)
	}
	return fmt.Sprintf("127.0.0.1:%d", inet.Port)
}
