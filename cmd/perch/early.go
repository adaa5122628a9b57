package main

import (
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// early reports whether a flag may stand before the verb too, and whether it
// takes what value, if any: those that every verb of operators has.
func early(flag string) (is bool, value string) {
	switch flag {
	case "--server":
		return true, "URL"
	case "--admin-token":
		return true, "TOKEN"
	case "--admin-token-file", "--ca-file":
		return true, "FILE"
	case "--insecure-http", "--json":
		return true, ""
	}
	return false, ""
}

// behind moves such flags behind the verb, where the parser looks for them. Where
// there is no such verb it leaves them out: the parser says what is missing, or what
// there is.
func behind(root *kong.Node, args []string) ([]string, error) {
	var verbs, moved []string
	node := root
	for len(args) > 0 {
		name, _, whole := strings.Cut(args[0], "=")
		is, value := early(name)
		n := 1
		if value != "" && !whole {
			n = 2
		}
		next := childOf(node, args[0])
		switch {
		case is && n > len(args):
			return nil, misuse(name + " is given without its " + value)
		case is:
			moved = append(moved, args[:n]...)
		case next != nil:
			verbs, node = append(verbs, args[0]), next
		case !node.Leaf() && (args[0] == "--help" || args[0] == "-h" || !strings.HasPrefix(args[0], "-")):
			return append(verbs, args...), nil
		default:
			return slices.Concat(verbs, moved, args), nil
		}
		args = args[n:]
	}
	if !node.Leaf() {
		return verbs, nil
	}
	return append(verbs, moved...), nil
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
