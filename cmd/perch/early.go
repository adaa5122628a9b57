package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// early reports whether a flag may stand before the verb too, and whether it
// takes a value: those that every verb of operators has.
func early(flag string) (is, valued bool) {
	switch flag {
	case "--server", "--admin-token", "--admin-token-file", "--ca-file":
		return true, true
	case "--json":
		return true, false
	}
	return false, false
}

// behind moves such flags behind the verb, where the parser looks for them.
func behind(root *kong.Node, args []string) []string {
	var verbs, moved []string
	for node := root; len(args) > 0; {
		name, _, whole := strings.Cut(args[0], "=")
		is, valued := early(name)
		n := 1
		if valued && !whole {
			n = min(2, len(args))
		}
		next := childOf(node, args[0])
		switch {
		case is:
			moved = append(moved, args[:n]...)
		case next != nil:
			verbs, node = append(verbs, args[0]), next
		default:
			return slices.Concat(verbs, moved, args)
		}
		args = args[n:]
	}
	return append(verbs, moved...)
}

// childOf returns the verb of that name below the node, or nil.
func childOf(node *kong.Node, name string) *kong.Node {
	for _, child := range node.Children {
		if child.Name == name {
			return child
		}
	}
	return nil
}
