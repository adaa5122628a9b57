package ports

import (
	"context"

	"perch/domain/spend"
)

// Usage keeps what calls came to, and what X has billed on a day.
type Usage interface {
	// Keep stores the writer's totals in place of those it said before of the
	// same day, application, grant and action: said twice counts once. A writer
	// is a process, or a part of its life; its totals never fall, and what is
	// less than the store has is older and changes nothing.
	Keep(ctx context.Context, writer string, totals []spend.Line) error

	// First marks the resources, and returns those that nobody else had marked
	// before: which X bills for this time. Marks by the same call are its own,
	// also when they are made again. No two marks name the same resource.
	First(ctx context.Context, marks []spend.Mark) ([]spend.Mark, error)

	// List returns the lines that the query asks for, all writers' together, in
	// order.
	List(ctx context.Context, q spend.Query) ([]spend.Line, error)

	// Sweep removes the lines of days before the given one, and returns how many
	// there were, those of each writer apart. Marks stay.
	Sweep(ctx context.Context, before spend.Day) (int, error)

	// SweepMarks removes the marks of days before the given one, and returns
	// how many. Lines stay.
	SweepMarks(ctx context.Context, before spend.Day) (int, error)
}
