package xsim

import (
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Limits of the filtered stream on pay-per-use.
const (
	maxRules      = 1000
	maxRuleLength = 1024
)

// A streamRule is a rule of the filtered stream. Rules belong to the app.
type streamRule struct{ id, value, tag string }

func (r streamRule) view() object {
	v := object{"id": r.id, "value": r.value}
	if r.tag != "" {
		v["tag"] = r.tag
	}
	return v
}

func ruleRoutes() map[string]handler {
	return map[string]handler{
		"getRules":      (*Sim).rules,
		"updateRules":   (*Sim).updateRules,
		"getRuleCounts": (*Sim).ruleCounts,
	}
}

// hits lists the rules of an app that a post fits.
func (s *Sim) hits(app string, p *post) []object {
	var hits []object
	for _, r := range s.streams.rules[app] {
		if s.matches(r.value, p) {
			hits = append(hits, object{"id": r.id, "tag": r.tag})
		}
	}
	return hits
}

func (s *Sim) rules(c *call) reply {
	wanted := c.ids("ids")
	var all []streamRule
	for _, r := range s.streams.rules[c.cred.app] {
		if len(wanted) == 0 || slices.Contains(wanted, r.id) {
			all = append(all, r)
		}
	}
	some, meta, refusal, ok := page(c, all)
	if !ok {
		return refusal
	}
	meta["sent"] = stamp(s.now())
	var views []object
	for _, r := range some {
		views = append(views, r.view())
	}
	return paged(views, meta, nil)
}

func (s *Sim) updateRules(c *call) reply {
	add, adds := c.body["add"].([]any)
	remove, removes := c.body["delete"].(map[string]any)
	if adds == removes {
		return invalid(param{"", "", "The body must have either add or delete"})
	}
	if removes {
		return s.removeRules(c, remove)
	}
	return s.addRules(c, add)
}

func (s *Sim) addRules(c *call, add []any) reply {
	dry := c.query.Get("dry_run") == "true"
	rules := slices.Clone(s.streams.rules[c.cred.app])
	var created, errs []object
	for _, v := range add {
		fields, _ := v.(map[string]any)
		r := streamRule{id: s.newID()}
		r.value, _ = fields["value"].(string)
		r.tag, _ = fields["tag"].(string)
		if wrong := ruleFlaw(r, rules); wrong != nil {
			errs = append(errs, wrong)
			continue
		}
		rules = append(rules, r)
		created = append(created, r.view())
		if !dry {
			s.noteBy(c, "rule.added", r.id, details{"value": r.value, "tag": r.tag})
		}
	}
	if !dry {
		s.streams.rules[c.cred.app] = rules
	}
	a := partial(created, errs)
	a.body.(object)["meta"] = object{"sent": stamp(s.now()), "summary": object{
		"created": len(created), "not_created": len(errs), "valid": len(created), "invalid": len(errs),
	}}
	if len(created) == 0 {
		a.status = http.StatusBadRequest
	}
	return a
}

// ruleFlaw is the error item for a rule that cannot be added, or nil.
func ruleFlaw(r streamRule, rules []streamRule) object {
	item := func(slug, title, detail string) object {
		return object{"title": title, "type": problems + slug, "detail": detail, "value": r.value}
	}
	i := slices.IndexFunc(rules, func(old streamRule) bool { return old.value == r.value })
	switch {
	case r.value == "" || len(r.value) > maxRuleLength:
		return item("invalid-rules", "UnprocessableEntity", "A rule has 1 to "+strconv.Itoa(maxRuleLength)+" characters")
	case i >= 0:
		dup := item("duplicate-rules", "DuplicateRule", "The rule exists already")
		dup["id"] = rules[i].id
		return dup
	case len(rules) >= maxRules:
		return item("rule-cap", "RulesCapExceeded", "The app has the most rules it may have")
	}
	return nil
}

func (s *Sim) removeRules(c *call, remove map[string]any) reply {
	wanted := map[string]bool{}
	for _, name := range []string{"ids", "values"} {
		list, _ := remove[name].([]any)
		for _, v := range list {
			if text, ok := v.(string); ok {
				wanted[text] = true
			}
		}
	}
	dry := c.query.Get("dry_run") == "true"
	var kept []streamRule
	deleted := 0
	for _, r := range s.streams.rules[c.cred.app] {
		if !wanted[r.id] && !wanted[r.value] {
			kept = append(kept, r)
			continue
		}
		deleted++
		if !dry {
			s.noteBy(c, "rule.removed", r.id, details{"value": r.value})
		}
	}
	if !dry {
		s.streams.rules[c.cred.app] = kept
	}
	return reply{body: object{"meta": object{"sent": stamp(s.now()), "summary": object{
		"deleted": deleted, "not_deleted": len(wanted) - deleted,
	}}}}
}

func (s *Sim) ruleCounts(c *call) reply {
	n := len(s.streams.rules[c.cred.app])
	return data(object{
		"cap_per_client_app": strconv.Itoa(maxRules), "cap_per_project": strconv.Itoa(maxRules),
		"client_app_rules_count": object{"client_app_id": s.oauth.apps[c.cred.app].ID, "rule_count": n},
		"project_rules_count":    strconv.Itoa(n),
	})
}

func connectionRoutes() map[string]handler {
	return map[string]handler{
		"getConnectionHistory": (*Sim).connections,
		"deleteAllConnections": func(s *Sim, c *call) reply {
			return s.killStreams(c, func(*connection) bool { return true })
		},
		"deleteConnectionsByEndpoint": func(s *Sim, c *call) reply {
			return s.killStreams(c, func(k *connection) bool { return endpointName(k.action) == c.params["endpoint_id"] })
		},
		"deleteConnectionsByUuids": func(s *Sim, c *call) reply {
			ids, _ := c.body["uuids"].([]any)
			return s.killStreams(c, func(k *connection) bool { return slices.Contains(ids, any(k.id)) })
		},
	}
}

func (s *Sim) connections(c *call) reply {
	var views []object
	for _, k := range slices.Concat(s.streams.open, s.streams.past) {
		if k.app != c.cred.app {
			continue
		}
		v := object{"id": k.id, "endpoint_name": endpointName(k.action), "connected_at": stamp(k.opened)}
		if k.reason != "" {
			v["disconnect_reason"] = k.reason
		}
		if !k.closed.IsZero() {
			v["disconnected_at"] = stamp(k.closed.Truncate(time.Millisecond))
		}
		views = append(views, v)
	}
	some, meta, refusal, ok := page(c, views)
	if !ok {
		return refusal
	}
	return paged(some, meta, nil)
}

func (s *Sim) killStreams(c *call, pass func(*connection) bool) reply {
	killed := s.streams.closeAll(func(k *connection) bool { return k.app == c.cred.app && pass(k) })
	results := make([]object, 0, len(killed))
	for _, k := range killed {
		results = append(results, object{"uuid": k.id, "success": true})
	}
	return data(object{"successful_kills": len(killed), "failed_kills": 0, "results": results})
}
