package xsim

import (
	"time"
)

// A list is one of X's Lists.
type list struct {
	id, owner, name, about string
	private                bool
	at                     time.Time
}

// A shelf keeps the lists, their members, followers and pins.
type shelf struct {
	byID    map[string]*list
	owned   relation // user to list
	members relation // list to user
	follows relation // user to list
	pins    relation // user to list
}

func newShelf() shelf {
	return shelf{
		byID: map[string]*list{}, owned: newRelation(), members: newRelation(), follows: newRelation(), pins: newRelation(),
	}
}

func listRoutes() map[string]handler {
	return map[string]handler{
		"createLists":               (*Sim).createList,
		"updateLists":               (*Sim).updateList,
		"deleteLists":               (*Sim).deleteList,
		"addListsMember":            (*Sim).addMember,
		"removeListsMemberByUserId": (*Sim).removeMember,
		"followList": func(s *Sim, c *call) reply {
			return s.markList(c, &s.lists.follows, "list.follow", "following")
		},
		"pinList": func(s *Sim, c *call) reply { return s.markList(c, &s.lists.pins, "list.pin", "pinned") },
		"unfollowList": func(s *Sim, c *call) reply {
			s.pair(c, &s.lists.follows, false, "list.follow", c.user(), c.params["list_id"])
			return data(object{"following": false})
		},
		"unpinList": func(s *Sim, c *call) reply {
			s.pair(c, &s.lists.pins, false, "list.pin", c.user(), c.params["list_id"])
			return data(object{"pinned": false})
		},
	}
}

func (s *Sim) createList(c *call) reply {
	l := &list{id: s.newID(), owner: c.user(), at: s.now()}
	l.change(c)
	if l.name == "" || len([]rune(l.name)) > 25 {
		return invalid(param{"name", l.name, "The `name` field must have 1 to 25 characters"})
	}
	s.lists.byID[l.id] = l
	s.lists.owned.add(l.owner, l.id)
	s.noteBy(c, "list.created", l.id, nil)
	return data(object{"id": l.id, "name": l.name})
}

// change takes over the fields that the body has.
func (l *list) change(c *call) {
	if v, ok := c.body["name"].(string); ok {
		l.name = v
	}
	if v, ok := c.body["description"].(string); ok {
		l.about = v
	}
	if v, ok := c.body["private"].(bool); ok {
		l.private = v
	}
}

// ownList finds a list and refuses whoever does not own it.
func (s *Sim) ownList(c *call) (*list, reply, bool) {
	l, ok := s.lists.byID[c.params["id"]]
	if !ok {
		return nil, notFound("list", "id", c.params["id"]), false
	}
	if l.owner != c.user() {
		return nil, forbidden("You are not allowed to change this List."), false
	}
	return l, reply{}, true
}

func (s *Sim) updateList(c *call) reply {
	l, refusal, ok := s.ownList(c)
	if !ok {
		return refusal
	}
	l.change(c)
	s.noteBy(c, "list.updated", l.id, nil)
	return data(object{"updated": true})
}

func (s *Sim) deleteList(c *call) reply {
	l, refusal, ok := s.ownList(c)
	if !ok {
		return refusal
	}
	delete(s.lists.byID, l.id)
	s.lists.owned.drop(l.id)
	s.lists.follows.drop(l.id)
	s.lists.pins.drop(l.id)
	for _, member := range s.lists.members.of(l.id) {
		s.lists.members.remove(l.id, member)
	}
	s.noteBy(c, "list.deleted", l.id, nil)
	return data(object{"deleted": true})
}

func (s *Sim) addMember(c *call) reply {
	l, refusal, ok := s.ownList(c)
	if !ok {
		return refusal
	}
	p, refusal, ok := s.userIn(c, "user_id")
	if !ok {
		return refusal
	}
	if s.lists.members.add(l.id, p.ID) {
		s.noteBy(c, "list.member.created", l.id, details{"member": p.ID})
	}
	return data(object{"is_member": true})
}

func (s *Sim) removeMember(c *call) reply {
	l, refusal, ok := s.ownList(c)
	if !ok {
		return refusal
	}
	if s.lists.members.remove(l.id, c.params["user_id"]) {
		s.noteBy(c, "list.member.deleted", l.id, details{"member": c.params["user_id"]})
	}
	return data(object{"is_member": false})
}

// markList follows or pins the list named in the body.
func (s *Sim) markList(c *call, r *relation, event, field string) reply {
	id := c.text("list_id")
	if id == "" {
		return needed("list_id")
	}
	if s.lists.byID[id] == nil {
		return notFound("list", "list_id", id)
	}
	s.pair(c, r, true, event, c.user(), id)
	return data(object{field: true})
}
