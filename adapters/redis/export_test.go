package redis

import (
	"context"
	"time"

	"github.com/redis/go-redis/v9"
)

// patiently has commands wait for as long as a busy machine may hold one up.
func patiently(o *redis.Options) {
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout, o.PoolTimeout = time.Minute, time.Minute, time.Minute, time.Minute
}

// OpenQuotaPatiently is OpenQuota for tests that are not about who waits for how long.
func OpenQuotaPatiently(ctx context.Context, at string) (*Store, error) {
	return openQuota(ctx, at, patiently)
}
