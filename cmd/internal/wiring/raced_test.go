//go:build race

package wiring_test

// raced says that the race detector is at work, which makes all that is computed
// here, SQLite too, some ten times slower.
const raced = true
