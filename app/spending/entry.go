package spending

import (
	"perch/domain/money"
	"perch/domain/spend"
	"perch/ports"
)

// An entry is what a call came to, as far as its reply tells.
type entry struct {
	tab    tab
	counts bool         // X performed it, or may have
	amount spend.Amount // without what the marks cost
	marks  []spend.Mark // resources that cost something if nobody had them today
}

// cost is what the call costs if so many of its marks were the first.
func (e entry) cost(first int) money.Micros {
	return e.amount.Cost + e.tab.charge.Unit*money.Micros(first)
}

// total is the amount of the call if so many of its marks were the first.
func (e entry) total(first int) spend.Amount {
	a := e.amount
	a.Cost = e.cost(first)
	return a
}

// entry judges the end of a call that was sent. What X refused costs nothing.
// What X may have done counts as done: a write that X answered with a failure of
// its own, with a redirection or not at all, and a read without a whole answer.
func (s *Service) entry(t tab, reply ports.Reply, err error) entry {
	e := entry{tab: t, amount: spend.Amount{Calls: 1}}
	switch status := reply.Status; {
	case status == 0, status >= 500 && t.charge.Write, status/100 == 3 && t.charge.Write, status < 300 && err != nil:
		e.counts = true
		e.unsure()
	case status < 300:
		e.counts = true
		s.read(&e, reply.Whole)
	}
	if reply.Lost > 0 {
		e.lost(reply.Lost)
	}
	return e
}

// lost counts the answers to a read that were lost before its reply came. What is
// billed for each resource is billed once, and a reply that counts has it.
func (e *entry) lost(answers int) {
	more := e.tab.charge.Unit * money.Micros(answers)
	switch {
	case e.tab.charge.PerResource && e.counts:
		return
	case e.tab.charge.PerResource:
		more = e.tab.charge.Most
	}
	e.counts = true
	e.amount.Cost += more
	e.amount.Unsure += more
}

// unsure counts the call at what it costs at most.
func (e *entry) unsure() {
	e.amount.Cost, e.amount.Unsure = e.tab.charge.Most, e.tab.charge.Most
}

// read counts what is in the reply.
func (s *Service) read(e *entry, body []byte) {
	c := e.tab.charge
	if c.Kind == "" || c.Stream {
		return
	}
	found, ok := spend.Find(body)
	switch {
	case !ok && c.PerResource: // too long to look into
		e.unsure()
	case !c.PerResource && (!ok || found.Data):
		e.amount.Cost = c.Unit
	case c.PerResource && found.Data:
		s.list(e, found)
	}
	e.amount.Includes = found.Includes
}

// list counts the resources. Whether X billed a call that spans midnight on the
// day before or after it cannot be told, so nothing in it is taken for free or
// makes anything free.
func (s *Service) list(e *entry, found spend.Findings) {
	e.amount.Resources = int64(found.Resources())
	if spend.DayOf(s.Now()) != e.tab.line.Day {
		e.amount.Cost = e.tab.charge.Unit * money.Micros(found.Resources())
		return
	}
	e.amount.Cost = e.tab.charge.Unit * money.Micros(found.Nameless)
	for _, id := range found.IDs {
		r := spend.Resource{XApp: e.tab.xapp, Day: e.tab.line.Day, Kind: e.tab.charge.Kind, ID: id}
		e.marks = append(e.marks, spend.Mark{Resource: r, By: e.tab.id})
	}
}
