package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"syscall"

	"perch/app/keyset"
)

type keysetReseal struct {
	sealedStores
	JSON bool `name:"json" help:"Answer in JSON, for scripts."`
}

// Help says what becomes of what is in use.
func (keysetReseal) Help() string {
	return "It can be stopped at any time and goes on where it was when it is run again. Grants that are being " +
		"refreshed are left alone and tried again a little later, some times. Sign-ins that are under way are not " +
		"resealed: they last ten minutes at most. At the end everything is opened once, and counted."
}

// Run brings everything under the key that seals.
func (v keysetReseal) Run(ctx context.Context, p *program) error {
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	_, service, shut, err := v.open(ctx, p)
	if err != nil {
		return err
	}
	defer shut()
	b := newBar(p.err)
	o, err := service.Reseal(ctx, b.tell)
	b.end()
	if ctx.Err() != nil {
		return fmt.Errorf("stopped after %s; run it again to go on", rowsMoved(o))
	}
	if err != nil {
		return fmt.Errorf("%w; %s so far. Run it again to go on", err, rowsMoved(o))
	}
	if v.JSON {
		if err := asJSON(p.out, resealed(o)); err != nil {
			return err
		}
	} else {
		p.tellResealed(o)
	}
	return leftOver(o)
}

func rowsMoved(o keyset.Outcome) string {
	if o.Moved == 1 {
		return "1 was resealed"
	}
	return fmt.Sprintf("%d were resealed", o.Moved)
}

func resealed(o keyset.Outcome) map[string]any {
	boxes, shut := map[string]int{}, 0
	for _, c := range o.After {
		for id, n := range c.Boxes {
			boxes[id] += n
		}
		shut += c.Shut.Count
	}
	return map[string]any{
		"key": o.Key, "resealed": o.Moved, "busy": o.Busy.Count, "unopened": shut, "boxes": boxes, "left": o.Left(),
	}
}

func (p *program) tellResealed(o keyset.Outcome) {
	for _, c := range o.After {
		p.say("%s: %d looked at, %d boxes under %s, %d under other keys\n",
			c.Kind, c.Rows, c.Boxes[o.Key], o.Key, c.But(o.Key))
	}
	p.say("%s\n", rowsMoved(o))
}

// leftOver is why old keys are still needed, nil if they are not.
func leftOver(o keyset.Outcome) error {
	switch {
	case o.Shut.Count > 0:
		return fmt.Errorf("%d could not be resealed, because a box of theirs does not open with any key there is (%s); "+
			"restore them, or the keyset, from a backup", o.Shut.Count, printable(o.Shut.String()))
	case o.Busy.Count > 0:
		return fmt.Errorf("%d grants were being refreshed all the time (%s); run it again later, and where a renewal waits "+
			"in the journal, start Perch before",
			o.Busy.Count, printable(o.Busy.String()))
	case o.Left() > 0:
		return fmt.Errorf("%d boxes were sealed with another key meanwhile; if replicas have copies of the keyset, "+
			"copy the new one to all of them, and run it again", o.Left())
	}
	for _, c := range o.After {
		if c.Shut.Count > 0 {
			return errors.New("some of the " + c.Kind + " have a box that does not open (" + printable(c.Shut.String()) +
				"); restore them from a backup")
		}
	}
	return nil
}
