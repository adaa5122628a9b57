package quotas

import (
	"context"
	"slices"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/domain/xapi"
	"perch/ports"
)

// doubt is by how much X's clock and ours may be apart, and how long a window is
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
func (s *Service) heard(ctx context.Context, a answer) (notes []quota.Note) {
	if !s.windows || a.call.Action.Public() {
		return nil
	}
	closed, refused := false, a.refused()
	for _, said := range a.reply.Windows {
		w, ok := s.meant(a, said)
		if !ok {
			continue
		}
		closed = closed || said.Remaining == 0
		n := quota.Note{
			Key: w.key, Max: said.Limit, Used: said.Limit - said.Remaining, Reset: said.Reset.Add(grace), Window: w.length,
		}
		if g, ok := a.bill.of(w, a.gave); !ok || refused || !agrees(g, n, s.flights.of(w)) {
			notes = append(notes, s.ahead(ctx, a, w, g, n))
		}
	}
	if !closed && refused {
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
	return said.Limit > 0 && said.Limit < unknownMax && said.Remaining >= 0 && said.Remaining <= said.Limit &&
		said.Reset.After(at) && !said.Reset.After(at.Add(length+doubt))
}

// agrees reports whether the note says nothing new: that window, ending no later,
// and no more of it used than we gave, then or to those that are under way.
func agrees(g quota.Grip, n quota.Note, underWay int64) bool {
	early := g.Reset.Sub(n.Reset)
	return early >= 0 && early <= 2*grace && n.Max == g.Limit && n.Used <= g.Limit-g.Remaining+underWay
}

// ahead adds to a note the calls that are under way, which X may not have seen
// yet, where X is in another window, has counted calls that are not ours, or
// refuses. What of them never reaches X is given back, and X's count is left.
func (s *Service) ahead(ctx context.Context, a answer, w window, g quota.Grip, n quota.Note) quota.Note {
	underWay := s.flights.of(w)
	slack := 2*underWay + 32 // replies overtake each other, also those of other replicas
	others := n.Used > g.Limit-g.Remaining+slack && n.Used > s.used(ctx, a, w, n)+slack
	if a.refused() || others || n.Reset.After(g.Reset.Add(grace)) {
		n.Used += underWay
	}
	return n
}

// used is how many calls of the window are counted by now: a call that was under way
// for long does not know of those that overtook it. Zero is not known.
func (s *Service) used(ctx context.Context, a answer, w window, n quota.Note) int64 {
	charges := []quota.Charge{w.charge(a.who)}
	v, err := s.store.Spend(ctx, a.at, charges)
	if err != nil {
		return 0
	}
	s.giveBack(ctx, &bill{charges: charges}, v)
	g := v.Grips[0]
	if g.Reset.Sub(n.Reset).Abs() > 2*grace {
		return 0
	}
	return g.Limit - g.Remaining - g.Given
}

// refused reports whether X refused the call for its rate. A usage cap is not a
// matter of windows, nor are too many streams.
func (a answer) refused() bool {
	return xapi.TroubleOf(a.reply.Status, a.reply.Whole) == xapi.RateLimited && !a.call.Action.Stream &&
		fault.SlugOf(a.err) != "x-usage-cap"
}
