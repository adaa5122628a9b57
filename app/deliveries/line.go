package deliveries

import (
	"context"

	"perch/domain/delivery"
	"perch/domain/oauth"
)

// Behind tells, of those that wait for nothing but their turn, which delivery their
// line waits for. It asks the store twice for each of their lines.
func (s *Service) Behind(ctx context.Context, all ...delivery.Delivery) (map[delivery.ID]delivery.ID, error) {
	now := s.Now()
	heads, behind := map[string]delivery.Delivery{}, map[delivery.ID]delivery.ID{}
	for _, d := range all {
		if d.State != delivery.Queued || now.Before(d.Next) {
			continue
		}
		head, known := heads[d.Line()]
		if !known {
			var err error
			if head, err = s.head(ctx, d); err != nil {
				return nil, err
			}
			heads[d.Line()] = head
		}
		if head.Seq < d.Seq {
			behind[d.ID] = head.ID
		}
	}
	return behind, nil
}

// head is the first delivery of d's line: what is being sent, or waits the longest.
func (s *Service) head(ctx context.Context, d delivery.Delivery) (delivery.Delivery, error) {
	head := d
	for _, state := range []delivery.State{delivery.Queued, delivery.Sending} {
		first, err := s.Store.List(ctx, delivery.Filter{App: d.App, Grants: []oauth.GrantID{d.Grant}, State: state}, "", 1)
		if err != nil {
			return d, err
		}
		if len(first) > 0 && first[0].Seq < head.Seq {
			head = first[0]
		}
	}
	return head, nil
}
