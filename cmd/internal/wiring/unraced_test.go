//go:build !race

package wiring_test

const raced = false
