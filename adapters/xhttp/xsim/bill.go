package xsim

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"perch/domain/xapi"
)

// A Bill is what the calls of one action came to.
type Bill struct {
	Calls     int   `json:"calls"`
	Resources int   `json:"resources"` // in the replies
	Billed    int   `json:"billed"`    // resources that were not billed before on the day; calls, where those cost
	Micros    int64 `json:"micros"`    // millionths of a US dollar
}

// plus returns the sum of both.
func (b Bill) plus(o Bill) Bill {
	return Bill{b.Calls + o.Calls, b.Resources + o.Resources, b.Billed + o.Billed, b.Micros + o.Micros}
}

// A cashier bills calls as X does: a request that succeeds, or each resource it
// returned, unless the app had the resource on the same UTC day.
type cashier struct {
	seen map[string]bool // app, day, kind and ID of a resource
	sums map[string]Bill // by action
}

func newCashier() cashier { return cashier{seen: map[string]bool{}, sums: map[string]Bill{}} }

// linkLike is what X makes a link of. Letters of a domain may have marks.
var linkLike = regexp.MustCompile(`(?i)https?://|` +
	`(^|[^\pL\pN\pM\p{So}_@.-])[\pL\pN\pM\p{So}_-]+(\.[\pL\pN\pM\p{So}_-]+)*\.` +
	`(com|org|net|io|dev|app|co|de|uk|ly|me|tv|info|xyz|ai)([^a-z0-9@]|$)`)

// bill bills a call that was performed. Callers hold the lock.
func (s *Sim) bill(c *call, a reply) {
	price, ok := xapi.PriceOf(c.act)
	if !ok || a.status < http.StatusOK || a.status >= http.StatusMultipleChoices || a.endless != nil {
		return
	}
	ids, isData := returned(a)
	if !isData {
		return
	}
	b := Bill{Calls: 1, Resources: len(ids), Billed: 1, Micros: price.Micros}
	switch {
	case price.PerResource:
		b.Billed = s.cash.first(c.cred.app+" "+s.now().Format("2006-01-02")+" "+string(c.act.Price), ids)
		b.Micros *= int64(b.Billed)
	case price.WithURL > 0 && linkLike.MatchString(c.text("text")):
		b.Micros = price.WithURL
	}
	s.cash.sums[c.act.ID] = s.cash.sums[c.act.ID].plus(b)
	s.noteBy(c, "bill", c.act.ID, details{
		"resources": strconv.Itoa(b.Resources), "billed": strconv.Itoa(b.Billed), "micros": strconv.FormatInt(b.Micros, 10),
	})
}

// first returns how many of the resources were not billed before. One without an
// ID never was.
func (k cashier) first(prefix string, ids []string) (n int) {
	for _, id := range ids {
		key := prefix + " " + id
		if id != "" && k.seen[key] {
			continue
		}
		k.seen[key] = true
		n++
	}
	return n
}

// returned lists the IDs of a reply's data, and reports whether it has any data.
func returned(a reply) (ids []string, ok bool) {
	if a.empty {
		return nil, false
	}
	var body map[string]json.RawMessage
	if json.Unmarshal(a.payload(), &body) != nil || len(body["data"]) == 0 {
		return nil, false
	}
	list := []map[string]any{}
	if strings.HasPrefix(string(body["data"]), "[") {
		_ = json.Unmarshal(body["data"], &list)
	} else {
		list = append(list, nil)
		_ = json.Unmarshal(body["data"], &list[0])
	}
	for _, one := range list {
		id, _ := one["id"].(string)
		ids = append(ids, id)
	}
	return ids, true
}

// Billed returns what was billed so far: in all, and by action.
func (s *Sim) Billed() (total Bill, actions map[string]Bill) {
	s.mu.Lock()
	defer s.mu.Unlock()
	actions = map[string]Bill{}
	for id, b := range s.cash.sums {
		actions[id] = b
		total = total.plus(b)
	}
	return total, actions
}

func (s *Sim) billKnob(w http.ResponseWriter, _ *http.Request) {
	total, actions := s.Billed()
	show(w, http.StatusOK, object{"prices_of": xapi.PricesOf, "total": total, "actions": actions})
}
