package quotas

import (
	"context"
	"errors"
	"strconv"

	"perch/domain/fault"
	"perch/domain/quota"
)

// close closes the window that X most likely meant, where it did not say: until
// it ends, but for a minute at least, or as long as X asks for. Of one that has
// just ended, X's clock is behind ours: that takes no longer than a minute.
func (s *Service) close(a answer) quota.Note {
	w, over, known := a.closed()
	switch {
	case !known && len(a.bill.windows) > 0:
		w = a.bill.windows[0]
	case !known:
		w = s.learned.learn(a.who, a.call, quota.Short, unknownMax)
	}
	n := quota.Note{Key: w.key, Max: w.max, Reset: a.at.Add(max(doubt, a.reply.Wait))}
	if g, ok := a.bill.of(w, a.gave); ok {
		n.Max = g.Limit
		if g.Reset.After(n.Reset) && !over {
			n.Reset = g.Reset
		}
	}
	n.Used = n.Max + s.flights.of(w) // which may be given back
	return n
}

// closed is the window that X calls used up, or else that of its short headers,
// and whether X says that it ended a moment ago.
func (a answer) closed() (w window, over, known bool) {
	for _, said := range a.reply.Windows {
		if w, known = spoken(a.bill.windows, said); known && said.Remaining == 0 {
			return w, !said.Reset.After(a.at) && said.Reset.After(a.at.Add(-doubt)), true
		}
	}
	w, known = spoken(a.bill.windows, quota.Window{Span: quota.Short})
	return w, false, known
}

// hold sees to it that what X has just refused is refused here from now on, and
// tells the client for how long. Where X said less of the window than is known of
// it, all of it is closed.
func (s *Service) hold(ctx context.Context, a answer) {
	f := s.refusing(ctx, a)
	if f == nil || f.Extra["limited"] == "share" {
		_ = s.store.Note(ctx, s.now(), []quota.Note{s.close(a)})
		f = s.refusing(ctx, a)
	}
	if f == nil || a.err != nil {
		return
	}
	if a.reply.Header == nil {
		a.reply.Header = map[string][]string{}
	}
	a.reply.Header["Retry-After"] = []string{strconv.FormatInt(seconds(f.Wait), 10)}
}

// refusing is with what such a call would be refused now, nil where it would not.
func (s *Service) refusing(ctx context.Context, a answer) *fault.Error {
	b, err := s.bill(ctx, a.who, a.call)
	if err != nil {
		return nil
	}
	v, err := s.spend(ctx, b)
	if err == nil {
		s.giveBack(ctx, b, v)
	}
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Limited {
		return f
	}
	return nil
}
