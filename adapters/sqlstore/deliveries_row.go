package sqlstore

import (
	"github.com/uptrace/bun"

	"perch/domain/client"
	"perch/domain/delivery"
	"perch/domain/oauth"
	"perch/domain/secret"
)

type deliveryRow struct {
	bun.BaseModel `bun:"table:deliveries,alias:d"`

	ID         string `bun:"id,pk"`
	App        string `bun:"app"`
	Grant      string `bun:"grant_id"`
	Line       string `bun:"line"`
	Seq        int64  `bun:"seq"`
	Actor      string `bun:"actor"`
	Action     string `bun:"action"`
	Key        string `bun:"idem_key"`
	Call       string `bun:"call_box"`
	Created    int64  `bun:"created"`
	Until      int64  `bun:"until"`
	State      string `bun:"state"`
	Attempts   int64  `bun:"attempts"`
	Next       int64  `bun:"next_try"`
	Doubt      int64  `bun:"doubt"`
	Status     int64  `bun:"status"`
	Problem    string `bun:"problem"`
	Detail     string `bun:"detail"`
	ReplyType  string `bun:"reply_type"`
	Reply      string `bun:"reply_box"`
	Ended      int64  `bun:"ended"`
	Holder     string `bun:"lease_holder"`
	LeaseUntil int64  `bun:"lease_until"`
	Version    int64  `bun:"version"`
}

func rowOfDelivery(d delivery.Delivery) *deliveryRow {
	return &deliveryRow{
		ID: string(d.ID), App: string(d.App), Grant: string(d.Grant), Line: d.Line(), Seq: d.Seq, Actor: d.Actor,
		Action: d.Action, Key: d.Key, Call: string(d.Call), Created: micros(d.Created), Until: micros(d.Until),
		State: string(d.State), Attempts: int64(d.Attempts), Next: micros(d.Next), Doubt: micros(d.Doubt),
		Status: int64(d.Outcome.Status), Problem: d.Outcome.Problem, Detail: d.Outcome.Detail, ReplyType: d.Outcome.Type,
		Reply: string(d.Outcome.Reply), Ended: micros(d.Ended), Holder: d.Lease.Holder,
		LeaseUntil: micros(d.Lease.Until), Version: d.Version,
	}
}

func (r *deliveryRow) delivery() delivery.Delivery {
	return delivery.Delivery{
		ID: delivery.ID(r.ID), App: client.AppID(r.App), Grant: oauth.GrantID(r.Grant), Seq: r.Seq, Actor: r.Actor,
		Action: r.Action, Key: r.Key, Call: secret.Box(r.Call), Created: moment(r.Created), Until: moment(r.Until),
		State: delivery.State(r.State), Attempts: int(r.Attempts), Next: moment(r.Next), Doubt: moment(r.Doubt),
		Outcome: delivery.Outcome{
			Status: int(r.Status), Problem: r.Problem, Detail: r.Detail, Type: r.ReplyType, Reply: secret.Box(r.Reply),
		},
		Ended: moment(r.Ended), Lease: delivery.Lease{Holder: r.Holder, Until: moment(r.LeaseUntil)}, Version: r.Version,
	}
}
