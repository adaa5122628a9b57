package xsim

func listReadRoutes() map[string]handler {
	return map[string]handler{
		"getListsById":            (*Sim).listByID,
		"getListsMembers":         func(s *Sim, c *call) reply { return s.usersOfList(c, s.lists.members.of) },
		"getListsFollowers":       func(s *Sim, c *call) reply { return s.usersOfList(c, s.lists.follows.to) },
		"getListsPosts":           (*Sim).listPosts,
		"getUsersOwnedLists":      func(s *Sim, c *call) reply { return s.listsOfUser(c, s.lists.owned.of) },
		"getUsersFollowedLists":   func(s *Sim, c *call) reply { return s.listsOfUser(c, s.lists.follows.of) },
		"getUsersPinnedLists":     func(s *Sim, c *call) reply { return s.listsOfUser(c, s.lists.pins.of) },
		"getUsersListMemberships": func(s *Sim, c *call) reply { return s.listsOfUser(c, s.lists.members.to) },
	}
}

// seenList finds a list the caller may see.
func (s *Sim) seenList(c *call) *list {
	l := s.lists.byID[c.params["id"]]
	if l == nil || l.private && l.owner != c.user() {
		return nil
	}
	return l
}

func (s *Sim) listView(c *call, l *list) object {
	full := object{
		"owner_id": l.owner, "description": l.about, "private": l.private, "created_at": stamp(l.at),
		"member_count": len(s.lists.members.out[l.id]), "follower_count": len(s.lists.follows.in[l.id]),
	}
	wanted := c.ids("list.fields")
	if c.expands("owner_id") {
		wanted = append(wanted, "owner_id")
	}
	return keep(object{"id": l.id, "name": l.name}, full, wanted)
}

func (s *Sim) listByID(c *call) reply {
	l := s.seenList(c)
	if l == nil {
		return missing("list", "id", c.params["id"])
	}
	body := object{"data": s.listView(c, l)}
	if owner := s.people.byID[l.owner]; owner != nil && c.expands("owner_id") {
		body["includes"] = object{"users": []object{s.userView(c, owner)}}
	}
	return reply{body: body}
}

func (s *Sim) usersOfList(c *call, users func(string) []string) reply {
	l := s.seenList(c)
	if l == nil {
		return missing("list", "id", c.params["id"])
	}
	return s.userPage(c, users(l.id))
}

func (s *Sim) listPosts(c *call) reply {
	l := s.seenList(c)
	if l == nil {
		return missing("list", "id", c.params["id"])
	}
	return s.postPage(c, s.newest(c, func(p *post) bool { return s.lists.members.has(l.id, p.author) }))
}

func (s *Sim) listsOfUser(c *call, lists func(string) []string) reply {
	if s.people.byID[c.params["id"]] == nil {
		return missing("user", "id", c.params["id"])
	}
	some, meta, refusal, ok := page(c, lists(c.params["id"]))
	if !ok {
		return refusal
	}
	var views []object
	for _, id := range some {
		if l := s.lists.byID[id]; l != nil && (!l.private || l.owner == c.user()) {
			views = append(views, s.listView(c, l))
		}
	}
	return paged(views, meta, nil)
}
