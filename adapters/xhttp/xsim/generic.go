package xsim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"perch/domain/xapi"
)

// generic answers an action the box keeps no state for, in the shape X gives it.
func generic(s *Sim, c *call) reply {
	switch {
	case c.act.Binary:
		return octets(4096)
	case c.act.ID == "getOpenApiSpec":
		return reply{body: description()}
	}
	if shape, ok := pagedShapes[c.act.ID]; ok {
		items := s.fill(c, shape)
		list, _ := items.([]any)
		return reply{body: object{"data": items, "meta": object{"result_count": len(list)}}}
	}
	shape, ok := shapes[c.act.ID]
	if !ok {
		shape = `{"id":"<new>"}`
	}
	s.noteWrite(c)
	return data(s.fill(c, shape))
}

// noteWrite leaves a trace of a write that has no event of its own.
func (s *Sim) noteWrite(c *call) {
	if c.act.Method != http.MethodGet {
		s.noteBy(c, "generic.done", c.act.ID, nil)
	}
}

var placeholder = regexp.MustCompile(`<\w+>`)

// fill puts values into a shape: <new> a new ID, <now> and <ms> the time, <me>
// the caller, any other name a path parameter or a string of the body.
func (s *Sim) fill(c *call, shape string) any {
	filled := placeholder.ReplaceAllStringFunc(shape, func(hole string) string {
		var value string
		switch name := strings.Trim(hole, "<>"); name {
		case "new":
			value = s.newID()
		case "now":
			value = stamp(s.now())
		case "ms":
			value = strconv.FormatInt(s.now().UnixMilli(), 10)
		case "me":
			value = s.someone(c)
		case "day":
			value = strconv.Itoa(s.now().Day())
		default:
			value = c.params[name]
			if value == "" {
				value = c.text(name)
			}
		}
		quoted, _ := json.Marshal(value) // strings always can be
		return string(quoted[1 : len(quoted)-1])
	})
	dec := json.NewDecoder(bytes.NewReader([]byte(filled)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		panic(fmt.Sprintf("xsim: the shape of %s is not JSON: %v", c.act.ID, err)) // a test fills every shape
	}
	return v
}

// someone is the caller, or for an app-only call the first user.
func (s *Sim) someone(c *call) string {
	if c.user() != "" {
		return c.user()
	}
	return s.people.order[0].ID
}

// description is a small OpenAPI document that lists the catalogue.
func description() object {
	paths := map[string]object{}
	for _, a := range xapi.All() {
		if paths[a.Path] == nil {
			paths[a.Path] = object{}
		}
		paths[a.Path][strings.ToLower(a.Method)] = object{
			"operationId": a.ID, "tags": []string{a.Tag},
			"responses": object{strconv.Itoa(a.Status()): object{"description": "The request has succeeded."}},
		}
	}
	return object{
		"openapi": "3.0.0", "info": object{"title": "X API v2, simulated", "version": "2.167"}, "paths": paths,
	}
}
