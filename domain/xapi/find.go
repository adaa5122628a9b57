package xapi

import (
	"net/url"
	"slices"
	"strings"
)

// All returns every action, in the order of their paths.
func All() []Action { return slices.Clone(catalogue) }

// ByID returns the action X calls id.
func ByID(id string) (Action, bool) {
	for _, a := range catalogue {
		if a.ID == id {
			return a, true
		}
	}
	return Action{}, false
}

// Tags returns X's tags, sorted.
func Tags() []string {
	var tags []string
	for _, a := range catalogue {
		if !slices.Contains(tags, a.Tag) {
			tags = append(tags, a.Tag)
		}
	}
	slices.Sort(tags)
	return tags
}

// Find returns the action that answers method and path, with the decoded values
// of its path parameters. Where two paths fit, a literal segment wins over a
// parameter, so /2/connections/all is never an {endpoint_id}.
func Find(method, path string) (Action, map[string]string, bool) {
	segments, ok := split(path)
	if !ok {
		return Action{}, nil, false
	}
	n := root.seek(segments)
	if n == nil {
		return Action{}, nil, false
	}
	a, ok := n.actions[method]
	if !ok {
		return Action{}, nil, false
	}
	params := map[string]string{}
	for i, part := range strings.Split(a.Path, "/")[1:] {
		if name, ok := parameter(part); ok {
			params[name] = segments[i]
		}
	}
	return a, params, true
}

// Methods lists the methods X serves at path, sorted; none if it has no such path.
func Methods(path string) []string {
	segments, ok := split(path)
	if !ok {
		return nil
	}
	n := root.seek(segments)
	if n == nil {
		return nil
	}
	var methods []string
	for m := range n.actions {
		methods = append(methods, m)
	}
	slices.Sort(methods)
	return methods
}

// split decodes a path into its segments; it refuses a path with an empty one.
func split(path string) ([]string, bool) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, false
	}
	segments := strings.Split(rest, "/")
	for i, s := range segments {
		v, err := url.PathUnescape(s)
		if err != nil || v == "" {
			return nil, false
		}
		segments[i] = v
	}
	return segments, true
}

// A node is a place in the tree of paths.
type node struct {
	literal map[string]*node
	any     *node
	actions map[string]Action // by method; nil where no path ends
}

var root = plant(catalogue)

func plant(actions []Action) *node {
	top := &node{}
	for _, a := range actions {
		n := top
		for _, part := range strings.Split(a.Path, "/")[1:] {
			n = n.child(part)
		}
		if n.actions == nil {
			n.actions = map[string]Action{}
		}
		n.actions[a.Method] = a
	}
	return top
}

func (n *node) child(part string) *node {
	if _, ok := parameter(part); ok {
		if n.any == nil {
			n.any = &node{}
		}
		return n.any
	}
	if n.literal == nil {
		n.literal = map[string]*node{}
	}
	if n.literal[part] == nil {
		n.literal[part] = &node{}
	}
	return n.literal[part]
}

// seek walks down, literals first, and steps back where that leads nowhere.
func (n *node) seek(segments []string) *node {
	if len(segments) == 0 {
		if n.actions == nil {
			return nil
		}
		return n
	}
	if next := n.literal[segments[0]]; next != nil {
		if found := next.seek(segments[1:]); found != nil {
			return found
		}
	}
	if n.any == nil {
		return nil
	}
	return n.any.seek(segments[1:])
}
