package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// prefix is how all our variables begin.
const prefix = "PERCH_"

// Known lists the variables that are settings. Kong must have been made with
// the source before.
func (s *Source) Known() []string { return slices.Sorted(maps.Keys(s.known)) }

// Unknown has a sentence for each variable that looks like a setting of Perch
// and is none, with the nearest one there is. Names in also are known too.
func (s *Source) Unknown(also ...string) []string {
	known := s.Known()
	var out []string
	for _, name := range slices.Sorted(maps.Keys(s.vars)) {
		if !strings.HasPrefix(name, prefix) || s.known[name] || name == clientLimit || slices.Contains(also, name) {
			continue
		}
		say := name + " is no setting of Perch and is ignored"
		if near := closest(name, known); near != "" {
			say += fmt.Sprintf("; did you mean %s?", near)
		}
		out = append(out, say)
	}
	return out
}

// closest returns the name that takes the fewest changes to become, "" if none
// is near.
func closest(name string, known []string) string {
	best, least := "", 1+len(name)/3
	for _, k := range known {
		if d := distance(strings.TrimPrefix(name, prefix), strings.TrimPrefix(k, prefix)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is Levenshtein's: how many letters must be put in, taken out or
// changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
