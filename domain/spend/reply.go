package spend

import (
	"encoding/json"
	"strings"
	"unicode/utf8"

	"perch/domain/money"
	"perch/domain/xapi"
)

// Findings are what a reply has in it that may be billed.
type Findings struct {
	Data     bool         // there is some: X bills nothing without
	IDs      []string     // of the resources, each once
	Nameless int          // resources without an ID that can be kept
	Includes money.Micros // what the included resources would cost, each once
}

// Resources is how many there are.
func (f Findings) Resources() int { return len(f.IDs) + f.Nameless }

// Find looks into the body of a successful reply. ok is false if it cannot be
// read.
func Find(body []byte) (f Findings, ok bool) {
	var reply struct {
		Data     json.RawMessage            `json:"data"`
		Includes map[string]json.RawMessage `json:"includes"`
	}
	if err := json.Unmarshal(body, &reply); err != nil {
		return f, false
	}
	if len(reply.Data) > 0 && string(reply.Data) != "null" {
		f.Data = true
		f.IDs, f.Nameless = resources(reply.Data)
	}
	for kind, list := range reply.Includes {
		ids, nameless := resources(list)
		f.Includes += priceIncluded(kind) * money.Micros(len(ids)+nameless)
	}
	return f, true
}

// resources returns the IDs of one resource or of a list of them, each once.
func resources(raw json.RawMessage) (ids []string, nameless int) {
	type resource struct {
		ID json.RawMessage `json:"id"`
	}
	var list []resource
	if err := json.Unmarshal(raw, &list); err != nil {
		list = make([]resource, 1)
		if err := json.Unmarshal(raw, &list[0]); err != nil {
			return nil, 1
		}
	}
	seen := map[string]bool{}
	for _, r := range list {
		id := name(r.ID)
		switch {
		case id == "":
			nameless++
		case !seen[id]:
			seen[id] = true
			ids = append(ids, id)
		}
	}
	return ids, nameless
}

// longestID is how long an ID is at most that is taken for one.
const longestID = 200

// name is an ID as text, which X writes as text; a number is read as it stands.
// What no store can keep, and what is neither, is no ID: "".
func name(raw json.RawMessage) (id string) {
	switch {
	case len(raw) == 0 || !utf8.Valid(raw):
		return ""
	case raw[0] == '"':
		_ = json.Unmarshal(raw, &id)
	case raw[0] == '-', raw[0] >= '0' && raw[0] <= '9':
		id = string(raw)
	}
	if len(id) > longestID || strings.ContainsRune(id, 0) {
		return ""
	}
	return id
}

// priceIncluded is what a resource of the kind costs where it is not included
// but asked for. Those that cannot be asked for cost nothing.
func priceIncluded(kind string) money.Micros {
	line := map[string]xapi.Category{"users": "User: Read", "tweets": "Posts: Read", "posts": "Posts: Read"}[kind]
	p, _ := xapi.PriceOf(xapi.Action{Price: line})
	return money.Micros(p.Micros)
}
