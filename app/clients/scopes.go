package clients

import (
	"slices"
	"strings"

	"perch/domain/oauth"
	"perch/domain/xapi"
)

// usual are the scopes of an application that names none and may do everything:
// to read, post and like, and to stay connected.
const usual oauth.Scopes = "like.read like.write media.write offline.access tweet.read tweet.write users.read"

// scopesFor are the scopes that an application may ask for if nobody says which:
// those its words name, and what every sign-in needs, which is to learn whose it is.
func scopesFor(words []string) oauth.Scopes {
	needed := []string{oauth.Offline}
	for _, word := range words {
		needed = append(needed, scopesOf(word)...)
	}
	if me, ok := xapi.ByID("getUsersMe"); ok && len(needed) > 1 {
		needed = append(needed, me.Needs()...)
	}
	return oauth.ScopesOf(needed)
}

// scopesOf are the scopes that a word names. Of what it covers, the actions for
// which the usual scopes suffice count; if there is none, or the word is for
// private messages, all that it covers does. To read never takes a scope to write.
func scopesOf(word string) []string {
	if word == xapi.Everything {
		return usual.List()
	}
	var some, all []string
	private := false
	for _, act := range xapi.All() {
		if !act.ByUser() || !xapi.Covers([]string{word}, act) {
			continue
		}
		private = private || act.Private()
		all = append(all, act.Needs()...)
		if len(usual.Missing(act.Needs())) == 0 {
			some = append(some, act.Needs()...)
		}
	}
	if private || len(some) == 0 {
		return all
	}
	if word == xapi.Read {
		return slices.DeleteFunc(some, func(scope string) bool { return strings.HasSuffix(scope, ".write") })
	}
	return some
}
