package main

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

type deliveryVerbs struct {
	List   deliveryList   `cmd:"" help:"List deliveries."`
	Cancel deliveryCancel `cmd:"" help:"End a delivery that waits; it is not sent."`
}

// delivery is a delivery as the REST API shows it.
type delivery struct {
	ID           string     `json:"id"`
	AppID        string     `json:"app_id"`
	GrantID      string     `json:"grant_id"`
	Action       string     `json:"action"`
	State        string     `json:"state"`
	Attempts     int        `json:"attempts"`
	CreatedAt    *time.Time `json:"created_at"`
	DeliverUntil *time.Time `json:"deliver_until"`
	NextAttempt  *time.Time `json:"next_attempt_at"`
	Behind       string     `json:"behind"`         // the delivery that must end before
	DoubtSince   *time.Time `json:"in_doubt_since"` // nil: X has not performed it, or it is known what X did
	Outcome      struct {
		Detail string `json:"detail"`
	} `json:"outcome"`
}

const deliveriesPath = "/admin/v1/deliveries"

type deliveryList struct {
	remote
	App   string `placeholder:"ID" help:"Only those of this client application."`
	Grant string `placeholder:"ID" help:"Only those of this grant."`
	State string `enum:",queued,sending,done,failed,expired,cancelled,unknown" default:"" placeholder:"STATE" help:"Only those in this state: queued, sending, done, failed, expired, cancelled or unknown."`
}

// Run lists deliveries.
func (v deliveryList) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	query := url.Values{}
	for name, value := range map[string]string{"app": v.App, "grant": v.Grant, "state": v.State} {
		if value != "" {
			query.Set(name, value)
		}
	}
	items, err := o.list(ctx, deliveriesPath, query)
	if err != nil {
		return err
	}
	if v.JSON {
		return asJSON(p.out, items)
	}
	deliveries, err := each[delivery](items)
	if err != nil {
		return err
	}
	var rows [][]string
	for _, d := range deliveries {
		rows = append(rows, []string{
			d.ID, d.AppID, d.GrantID, d.Action, d.State, strconv.Itoa(d.Attempts), when(d.CreatedAt), when(d.DeliverUntil),
			d.nextTry(), when(d.DoubtSince), d.Outcome.Detail,
		})
	}
	p.list("ID\tAPPLICATION\tGRANT\tACTION\tSTATE\tATTEMPTS\tCREATED\tUNTIL\tNEXT TRY\tIN DOUBT SINCE\tLAST OUTCOME", rows,
		"There are no such deliveries; a client makes one by sending a write with Prefer: respond-async.")
	return nil
}

// nextTry is when it is tried next, or what it waits for.
func (d delivery) nextTry() string {
	if d.Behind != "" {
		return "after " + d.Behind
	}
	return when(d.NextAttempt)
}

type deliveryCancel struct {
	remote
	ID string `arg:"" help:"The delivery."`
}

// Run ends a delivery that waits.
func (v deliveryCancel) Run(ctx context.Context, p *program) error {
	o, err := v.open(p)
	if err != nil {
		return err
	}
	if err := o.call(ctx, http.MethodDelete, deliveriesPath+"/"+url.PathEscape(v.ID), nil, nil); err != nil {
		return err
	}
	return v.done(p, "cancelled", v.ID)
}
