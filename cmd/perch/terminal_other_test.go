//go:build !linux

package main

import (
	"os"
	"os/exec"
	"testing"

	"perch/ports/conformance"
)

func openTerminal(t *testing.T) (near, far *os.File) {
	t.Helper()
	conformance.Absent(t, bashTerminal, "it is tried on Linux only")
	return nil, nil
}

func ownTerminal(*exec.Cmd) {}
