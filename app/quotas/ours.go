package quotas

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/xapi"
	"perch/ports"
)

// rulesFor are the rules that count the call: those of the house, or those that
// its application has in their place.
func (s *Service) rulesFor(who ports.Caller, act xapi.Action) ([]quota.Rule, error) {
	own, err := quota.ParseRules(who.App.Limits)
	if err != nil {
		return nil, err
	}
	var rules []quota.Rule
	for _, r := range quota.Instead(s.rules, own) {
		if _, known := whose(r.Subject, who); known && r.Counts(act) {
			rules = append(rules, r)
		}
	}
	return rules, nil
}

// whose names the subject of a rule; false where the call has none, or where it
// was counted before. Calls of no application, for which X asks no credential,
// count together.
func whose(subject quota.Subject, who ports.Caller) (string, bool) {
	switch subject {
	case quota.Application:
		return string(who.App.ID), true
	case quota.Key:
		return who.Actor, who.Actor != ""
	case quota.Grant:
		return string(who.Grant), who.Grant != ""
	case quota.Address:
	}
	return "", false
}

// charge is what the rule asks its bucket for. Where all actions count together
// the key is as it always was.
func charge(r quota.Rule, id string) quota.Charge {
	key := string(r.Subject) + ":" + id
	if r.Class != "" {
		key = string(r.Subject) + "/" + key[len(r.Subject)+1:] + "/" + r.Class
	}
	return quota.Charge{Key: key, Max: r.Max, Window: r.Window}
}

// Arrive counts a request of the address, before anybody knows who sends it, or
// refuses it. It returns the headers that say what is left to the address.
func (s *Service) Arrive(ctx context.Context, from netip.Addr) (map[string]string, error) {
	if len(s.address) == 0 {
		return nil, nil
	}
	charges := make([]quota.Charge, len(s.address))
	for i, r := range s.address {
		charges[i] = charge(r, client.Household(from).String())
		charges[i].Crowd = client.Neighbours(from)
	}
	at := s.now()
	v, err := s.store.Spend(ctx, at, charges)
	if err != nil {
		return nil, err
	}
	all := standings(s.address, v, at)
	if !v.Allowed {
		f := refusedByUs(all, false)
		for name, value := range heads(all) {
			f = f.Heading(name, value)
		}
		return nil, f
	}
	return heads(all), nil
}

// A standing is what is left of one of our limits.
type standing struct {
	rule  quota.Rule
	left  quota.Decision
	until time.Duration // to the window's end
}

// standings has the most pressing first: what is refused, then what has the
// smallest part left.
func standings(rules []quota.Rule, v quota.Verdict, at time.Time) []standing {
	all := make([]standing, len(rules))
	for i, r := range rules {
		// The clocks of the store and of ours need not be quite the same.
		until := min(max(v.Grips[i].Reset.Sub(at), 0), r.Window)
		all[i] = standing{rule: r, left: v.Grips[i].Decision, until: until}
		all[i].left.Allowed = all[i].left.Allowed || v.Allowed
	}
	slices.SortStableFunc(all, func(a, b standing) int { return compare(a.pressure(), b.pressure()) })
	return all
}

// pressure is smaller the more pressing a standing is. Of two that refuse, the
// one that does so for longer is.
func (s standing) pressure() float64 {
	if !s.left.Allowed {
		return -float64(max(s.until, 1))
	}
	return float64(s.left.Remaining) / float64(max(s.left.Limit, 1))
}

func compare(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// refusedByUs says whose limit it was. A session is told so: it counts as a key,
// and has none.
func refusedByUs(all []standing, session bool) *fault.Error {
	s := all[0]
	subject := map[quota.Subject]string{
		quota.Address: "address", quota.Key: "key", quota.Application: "application", quota.Grant: "grant",
	}[s.rule.Subject]
	whom := subject
	if session && s.rule.Subject == quota.Key {
		whom = "session"
	}
	return fault.New(fault.Limited, "this %s has made its %s; free again in %s. The limit is this Perch's, not X's",
		whom, s.rule.Words(), quota.Soon(s.until)).Named("limit-reached").After(max(s.until, 1)).
		With("limited", subject).With("window", quota.Length(s.rule.Window)).With("limit", s.rule.String())
}
