package actions_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"perch/adapters/xhttp/xsim"
	"perch/domain/fault"
	"perch/domain/oauth"
	"perch/domain/quota"
)

// X has ended all access tokens long before their time, and every
// refresh works: each call is answered, and nothing counts as an outage.
func TestTokensThatAllEndAtOnceAreReplacedAtOnce(t *testing.T) {
	const users = 200
	people := make([]xsim.User, users)
	for i := range people {
		people[i] = xsim.User{ID: fmt.Sprint(1000 + i), Username: fmt.Sprint("user", i), Name: "One"}
	}
	h := newHouseOf(t, quota.Limit{}, people)
	grants := []oauth.Grant{h.grant}
	for _, p := range people[1:] {
		grants = append(grants, h.connectUser(p.ID, oauth.Everything))
	}
	h.x.Advance(3 * time.Hour) // at X only
	for range 2 {
		var mu sync.Mutex
		var all sync.WaitGroup
		got := map[string]int{}
		for _, g := range grants {
			r := h.request("getUsersMe", "")
			r.Grant = g.ID
			all.Go(func() {
				reply, err := h.Do(t.Context(), r)
				mu.Lock()
				defer mu.Unlock()
				got[strings.TrimSpace(fmt.Sprint(reply.Status, " ", fault.SlugOf(err)))]++
			})
		}
		all.Wait()
		if d := cmp.Diff(map[string]int{"200": users}, got); d != "" {
			t.Errorf("the calls (-want +got):\n%s", d)
		}
	}
	for _, g := range grants {
		if now, err := h.vault.Get(t.Context(), g.ID); err != nil || now.State != oauth.Active || now.Generation != 1 {
			t.Errorf("a grant was refreshed %d times and is %s: %v", now.Generation, now.State, err)
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, e := range h.events {
		if strings.HasPrefix(e.Verb, "x.") {
			t.Errorf("%s: %v", e.Verb, e.Err)
		}
	}
}
