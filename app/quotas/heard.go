package quotas

import (
	"slices"
	"strconv"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/xapi"
	"perch/ports"
)

// doubt is by how much X's clock may be ahead of ours, and how long a window is
// closed at least after X refused a call.
const doubt = time.Minute

// An answer is X's reply to a call, and what the call was charged.
type answer struct {
	who   ports.Caller
	call  ports.Call
	bill  *bill
	gave  quota.Verdict
	reply *ports.Reply
	err   error
	at    time.Time
}

// heard is what a reply says of X's windows that is not known. X's word counts
// only where it can be true.
func (s *Service) heard(a answer) (notes []quota.Note) {
	if !s.windows || a.call.Action.Public() {
		return nil
	}
	closed := false
	for _, said := range a.reply.Windows {
		w, ok := s.meant(a, said)
		if !ok {
			continue
		}
		closed = closed || said.Remaining == 0
		n := quota.Note{
			Key: w.key, Max: said.Limit, Used: said.Limit - said.Remaining, Reset: said.Reset.Add(grace), Window: w.length,
		}
		if g, ok := a.bill.of(w, a.gave); !ok || !agrees(g, n, s.flights.of(w)) {
			notes = append(notes, s.ahead(w, g, n))
		}
	}
	if !closed && a.refused() {
		n := s.close(a)
		notes = slices.DeleteFunc(notes, func(o quota.Note) bool { return o.Key == n.Key }) // X refused against its own word
		notes = append(notes, n)
	}
	return notes
}

// meant is the window of which X speaks, false where it cannot be true. One of
// which nothing is published is learned.
func (s *Service) meant(a answer, said quota.Window) (window, bool) {
	w, known := spoken(a.bill.windows, said)
	if !known {
		w.length = day
		if said.Span == quota.Short {
			w.length = quarter
		}
	}
	if !credible(said, w.length, a.at) {
		return w, false
	}
	if !known || w.learned && w.max != said.Limit {
		w = s.learned.learn(a.who, a.call, said.Span, said.Limit)
	}
	return w, true
}

// credible reports whether X's word can be true: a window that runs, and ends
// before one would that began now.
func credible(said quota.Window, length time.Duration, at time.Time) bool {
	return said.Limit > 0 && said.Remaining >= 0 && said.Remaining <= said.Limit &&
		said.Reset.After(at) && !said.Reset.After(at.Add(length+doubt))
}

// agrees reports whether the note says nothing new: that window, ending no later,
// and no more of it used than we gave, then or to those that are under way.
func agrees(g quota.Grip, n quota.Note, underWay int64) bool {
	early := g.Reset.Sub(n.Reset)
	return early >= 0 && early <= 2*grace && n.Max == g.Limit && n.Used <= g.Limit-g.Remaining+underWay
}

// ahead adds to a note the calls that are under way, which X may not have seen
// yet, where X is in another window or has counted calls that are not ours.
func (s *Service) ahead(w window, g quota.Grip, n quota.Note) quota.Note {
	underWay := s.flights.of(w)
	ours := g.Limit - g.Remaining + 2*underWay + 32 // replies overtake each other, also those of other replicas
	if n.Used > ours || n.Reset.After(g.Reset.Add(grace)) {
		n.Used = min(n.Used+underWay, n.Max)
	}
	return n
}

// refused reports whether X refused the call for its rate. A usage cap is not a
// matter of windows, nor are too many streams.
func (a answer) refused() bool {
	return xapi.TroubleOf(a.reply.Status, a.reply.Whole) == xapi.RateLimited && !a.call.Action.Stream &&
		fault.SlugOf(a.err) != "x-usage-cap"
}

// close closes the window that X most likely meant, where it did not say: until
// it ends, but for a minute at least, or as long as X asks for.
func (s *Service) close(a answer) quota.Note {
	w, known := spoken(a.bill.windows, quota.Window{Span: quota.Short})
	switch {
	case !known && len(a.bill.windows) > 0:
		w = a.bill.windows[0]
	case !known:
		w = s.learned.learn(a.who, a.call, quota.Short, unknownMax)
	}
	n := quota.Note{Key: w.key, Max: w.max, Reset: a.at.Add(max(doubt, asked(a.reply)))}
	if g, ok := a.bill.of(w, a.gave); ok {
		n.Max = g.Limit
		if g.Reset.After(n.Reset) {
			n.Reset = g.Reset
		}
	}
	n.Used = n.Max
	return n
}

// asked is how long X's Retry-After asks to wait, a day at most.
func asked(reply *ports.Reply) time.Duration {
	for _, text := range reply.Header["Retry-After"] {
		if n, err := strconv.ParseInt(text, 10, 32); err == nil && n > 0 {
			return min(time.Duration(n)*time.Second, day)
		}
	}
	return 0
}
