//go:build unix && !linux

package main

import "golang.org/x/sys/unix"

// withoutCore keeps what is in memory, tokens among it, out of core dumps.
func withoutCore() error { return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) }
