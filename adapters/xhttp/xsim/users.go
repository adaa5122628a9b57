package xsim

import (
	"slices"
	"strings"
	"time"
)

// A User is a person on the simulated X.
type User struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Name     string `json:"name"`
}

func builtinUsers() []User {
	return []User{
		{ID: "1500000000000000001", Username: "ada", Name: "Ada Quill"},
		{ID: "1500000000000000002", Username: "grace", Name: "Grace Harbour"},
		{ID: "1500000000000000003", Username: "linus", Name: "Linus Fenn"},
		{ID: "1500000000000000004", Username: "margaret", Name: "Margaret Osei"},
	}
}

// Users returns the people in the box, in the order in which they came.
func (s *Sim) Users() []User {
	s.mu.Lock()
	defer s.mu.Unlock()
	users := make([]User, 0, len(s.people.order))
	for _, p := range s.people.order {
		users = append(users, p.User)
	}
	return users
}

// A person is a user and when they came.
type person struct {
	User
	since time.Time
}

// A directory knows the people, and who follows, mutes and blocks whom.
type directory struct {
	byID    map[string]*person
	order   []*person
	follows relation
	mutes   relation
	blocks  relation // of direct messages
}

func newDirectory() directory {
	return directory{
		byID: map[string]*person{}, follows: newRelation(), mutes: newRelation(), blocks: newRelation(),
	}
}

func (d *directory) add(u User, now time.Time) {
	if p, ok := d.byID[u.ID]; ok {
		p.User = u
		return
	}
	p := &person{User: u, since: now}
	d.byID[u.ID] = p
	d.order = append(d.order, p)
}

// named finds a person by username, which X does not take by case.
func (d *directory) named(username string) *person {
	i := slices.IndexFunc(d.order, func(p *person) bool { return strings.EqualFold(p.Username, username) })
	if i < 0 {
		return nil
	}
	return d.order[i]
}

func userRoutes() map[string]handler {
	return map[string]handler{
		"getUsersMe":         func(s *Sim, c *call) reply { return s.oneUser(c, "id", c.user()) },
		"getUsersById":       func(s *Sim, c *call) reply { return s.oneUser(c, "id", c.params["id"]) },
		"getUsersByUsername": (*Sim).userByUsername,
		"getUsersByIds":      (*Sim).usersByIDs,
		"getUsersByUsernames": func(s *Sim, c *call) reply {
			return s.manyUsers(c, "usernames", func(name string) *person { return s.people.named(name) })
		},
		"searchUsers": (*Sim).searchUsers,
	}
}

func (s *Sim) oneUser(c *call, parameter, id string) reply {
	p, ok := s.people.byID[id]
	if !ok {
		return missing("user", parameter, id)
	}
	return data(s.userView(c, p))
}

func (s *Sim) userByUsername(c *call) reply {
	p := s.people.named(c.params["username"])
	if p == nil {
		return missing("user", "username", c.params["username"])
	}
	return data(s.userView(c, p))
}

func (s *Sim) usersByIDs(c *call) reply {
	return s.manyUsers(c, "ids", func(id string) *person { return s.people.byID[id] })
}

// manyUsers answers with those who exist, and an error for each who does not.
func (s *Sim) manyUsers(c *call, parameter string, find func(string) *person) reply {
	wanted := c.ids(parameter)
	if n := len(wanted); n == 0 || n > 100 {
		return invalid(param{parameter, c.query.Get(parameter),
			"The `" + parameter + "` query parameter takes 1 to 100 values"})
	}
	var found, errs []object
	for _, w := range wanted {
		if p := find(w); p != nil {
			found = append(found, s.userView(c, p))
			continue
		}
		errs = append(errs, absent("user", parameter, w))
	}
	return partial(found, errs)
}

// partial is a reply with what was found and what was not.
func partial(found, errs []object) reply {
	body := object{}
	if len(found) > 0 {
		body["data"] = found
	}
	if len(errs) > 0 {
		body["errors"] = errs
	}
	return reply{body: body}
}

func (s *Sim) searchUsers(c *call) reply {
	query := strings.ToLower(c.query.Get("query"))
	if query == "" {
		return invalid(param{"query", "", "The `query` query parameter can not be empty"})
	}
	var ids []string
	for _, p := range s.people.order {
		if strings.Contains(strings.ToLower(p.Username+" "+p.Name), query) {
			ids = append(ids, p.ID)
		}
	}
	return s.userPage(c, ids)
}
