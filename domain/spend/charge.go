package spend

import (
	"net/url"
	"strconv"
	"strings"

	"perch/domain/money"
	"perch/domain/xapi"
)

// A Charge is what a call may cost, as far as can be said before it is made.
type Charge struct {
	Kind        string // the line of X's price list; empty: X publishes no price
	PerResource bool   // Unit is for each resource of the reply; otherwise for the request
	Write       bool   // the call changes something, so X may have done it whatever it answers
	Stream      bool   // the reply does not end by itself, and costs ever more
	Link        bool   // it is a post in which something looks like a link, and costs more for that
	Unit        money.Micros
	Most        money.Micros // what the call costs at most
}

// ChargeFor prices a call before it is sent: a request at its price, a post with
// a link at the price of one, a read at as many resources as it may return. What
// a user might get cheaper, as a reply to somebody who summoned them or a read of
// what the owner of the X App owns, is priced in full: from outside it cannot be
// told. body is the request's; text is false if it cannot be looked into, and
// then a post is taken for one with a link.
func ChargeFor(act xapi.Action, query string, body []byte, text bool) Charge {
	p, ok := xapi.PriceOf(act)
	if !ok {
		return Charge{Write: act.Method != "GET"}
	}
	c := Charge{
		Kind: string(act.Price), PerResource: p.PerResource, Write: act.Method != "GET", Stream: act.Stream,
		Unit: money.Micros(p.Micros),
	}
	if p.WithURL > 0 && (!text || Links(body)) {
		c.Unit, c.Link = money.Micros(p.WithURL), text
	}
	c.Most = c.Unit
	if c.PerResource {
		c.Most *= money.Micros(returns(act, query))
	}
	return c
}

// returns is how many resources the action returns at most.
func returns(act xapi.Action, query string) int {
	page := xapi.PageOf(act)
	q, _ := url.ParseQuery(query) // what cannot be read X cannot read either
	if page.IDs != "" {
		n := 0
		for _, list := range q[page.IDs] {
			n += 1 + strings.Count(list, ",")
		}
		return min(max(n, 1), page.Most)
	}
	most, asked := 0, false
	for _, v := range q["max_results"] {
		n, err := strconv.Atoi(v)
		if err != nil || n < 1 || n > page.Most {
			n = page.Most
		}
		most, asked = max(most, n), true
	}
	if !asked {
		return page.Size
	}
	return most
}
