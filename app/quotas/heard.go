package quotas

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// doubt is by how much X's clock may be ahead of ours, and how long a window is
// closed at least after X refused a call.
const doubt = time.Minute

// heard is what a reply says of X's windows that is not known. X's word counts
// only where it can be true.
func (s *Service) heard(
	who ports.Caller, call ports.Call, b *bill, v quota.Verdict, reply *ports.Reply, err error,
) (notes []quota.Note) {
	if !s.windows || call.Action.Public() {
		return nil
	}
	at, closed := s.now(), false
	for _, said := range reply.Windows {
		w, known := spoken(b.windows, said)
		if !known {
			w.length = day
			if said.Span == quota.Short {
				w.length = quarter
			}
		}
		if !credible(said, w.length, at) {
			continue
		}
		if !known || w.learned && w.max != said.Limit {
			w = s.learned.learn(who, call, said.Span, said.Limit)
		}
		closed = closed || said.Remaining == 0
		n := quota.Note{
			Key: w.key, Max: said.Limit, Used: said.Limit - said.Remaining, Reset: said.Reset.Add(grace), Window: w.length,
		}
		if g, ok := b.of(w, v); !ok || !agrees(g, n, s.flights.of(w)) {
			notes = append(notes, s.ahead(w, g, n))
		}
	}
	if !closed && refused(call, reply, err) {
		n := s.close(who, call, b, v, reply, at)
		notes = slices.DeleteFunc(notes, func(o quota.Note) bool { return o.Key == n.Key }) // X refused against its own word
		notes = append(notes, n)
	}
	return notes
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
func refused(call ports.Call, reply *ports.Reply, err error) bool {
	if reply.Status != 429 || call.Action.Stream || fault.SlugOf(err) == "x-usage-cap" {
		return false
	}
	var p struct{ Type string }
	_ = json.Unmarshal(reply.Whole, &p) // what is no problem is none of these
	return !strings.HasSuffix(p.Type, "/usage-capped") && !strings.HasSuffix(p.Type, "/streaming-connection")
}

// close closes the window that X most likely meant, where it did not say: until
// it ends, but for a minute at least, or as long as X asks for.
func (s *Service) close(
	who ports.Caller, call ports.Call, b *bill, v quota.Verdict, reply *ports.Reply, at time.Time,
) quota.Note {
	w, known := spoken(b.windows, quota.Window{Span: quota.Short})
	switch {
	case !known && len(b.windows) > 0:
		w = b.windows[0]
	case !known:
		w = s.learned.learn(who, call, quota.Short, unknownMax)
	}
	n := quota.Note{Key: w.key, Max: w.max, Reset: at.Add(max(doubt, asked(reply)))}
	if g, ok := b.of(w, v); ok {
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
