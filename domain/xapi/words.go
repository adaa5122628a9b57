package xapi

import (
	"slices"
	"strings"

	"perch/domain/fault"
)

// Presets, which name many actions in one word. Tags ("tag:Posts") and operation
// IDs stand next to them.
const (
	Everything = "everything"
	Read       = "read"
	Post       = "post"
	Engage     = "engage"
	Messages   = "messages"
)

// Covers reports whether any of the words names the action.
func Covers(words []string, act Action) bool {
	return slices.ContainsFunc(words, func(word string) bool { return covers(word, act) })
}

func covers(word string, act Action) bool {
	switch word {
	case Everything:
		return true
	case Read:
		return act.Method == "GET" && !act.Private()
	case Post:
		return act.Method != "GET" && (act.Tag == "Posts" || act.Tag == "Media")
	case Engage:
		return act.Method != "GET" && !act.Private() && act.Tag == "Users"
	case Messages:
		return act.Private()
	}
	if tag, ok := strings.CutPrefix(word, "tag:"); ok {
		return act.Tag == tag
	}
	return act.ID == word
}

// CheckWords refuses words that name no action.
func CheckWords(words []string) error {
	for _, word := range words {
		if !known(word) {
			return fault.New(fault.Invalid, "no action, tag or preset is called %q; "+
				"use everything, read, post, engage, messages, tag:NAME or an operation ID of X", word)
		}
	}
	return nil
}

func known(word string) bool {
	if tag, ok := strings.CutPrefix(word, "tag:"); ok {
		return slices.Contains(Tags(), tag)
	}
	if _, ok := ByID(word); ok {
		return true
	}
	return slices.Contains([]string{Everything, Read, Post, Engage, Messages}, word)
}
