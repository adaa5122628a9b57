package grants

import (
	"errors"
	"testing"

	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/ports"
)

func TestTokensReplaceOnlyWhatTheyContain(t *testing.T) {
	const had, more = oauth.Scopes("tweet.read users.read"), oauth.Scopes("like.read")
	mine := oauth.Grant{ID: "g", Scopes: had, State: oauth.Active}
	for name, v := range map[string]struct {
		scopes oauth.Scopes // of X's tokens
		found  oauth.Grant
		err    error // of the search
		slug   string
		good   bool
	}{
		"all of it":              {scopes: had.And(more), found: mine, good: true},
		"more than all":          {scopes: had.And(more).And("dm.read"), found: mine, good: true},
		"not what was asked for": {scopes: had, found: mine, slug: "x-allowed-less"},
		"nothing said":           {found: mine, slug: "x-allowed-less"},
		"less than there was":    {scopes: more.And("users.read"), found: mine},
		"another's grant":        {scopes: had.And(more), found: oauth.Grant{ID: "h"}, slug: oauth.OtherUser},
		"nobody's":               {scopes: had.And(more), err: fault.NotFound, slug: oauth.OtherUser},
		"one that has ended":     {scopes: had.And(more), found: oauth.Grant{ID: "g", State: oauth.Revoked}, slug: "grant-revoked"},
		"a store that is away":   {scopes: had.And(more), err: fault.Unavailable, good: true}, // which is said elsewhere
	} {
		k := &keeping{tokens: ports.Tokens{Scopes: v.scopes}, only: "g", more: more}
		err := k.mayReplace(v.found, v.err)
		if v.good != (err == nil) || fault.SlugOf(err) != v.slug || !v.good && v.slug == "" && !errors.Is(err, errChanged) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := (&keeping{}).mayReplace(oauth.Grant{ID: "h"}, nil); err != nil {
		t.Errorf("a sign-in replaces any: %v", err)
	}
}
