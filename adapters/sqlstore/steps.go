package sqlstore

import (
	"context"
	"time"
)

// stepMost is how many rows one step of a sweep removes: others write in between.
const stepMost = 500

// inSteps repeats a step that removes up to stepMost rows until nothing is left to
// remove, and returns how many there were. Between two it leaves the database to
// others for as long as the step took.
func inSteps(ctx context.Context, step func(context.Context) (int, error)) (sum int, err error) {
	for {
		began := time.Now()
		n, err := oneStep(ctx, step)
		if sum += n; err != nil || n < stepMost {
			return sum, err
		}
		select {
		case <-time.After(time.Since(began)):
		case <-ctx.Done():
			return sum, unavailable(ctx, ctx.Err())
		}
	}
}

func oneStep(ctx context.Context, step func(context.Context) (int, error)) (int, error) {
	ctx, cancel := bounded(ctx)
	defer cancel()
	return step(ctx)
}
