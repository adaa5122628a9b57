package wiring_test

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"perch/cmd/internal/config"
	"perch/domain/quota"
)

// BenchmarkQuota measures one call's charge of four limits, many callers at once,
// on each store in each mode. "ratio" is how many times as long it takes as in
// memory.
func BenchmarkQuota(b *testing.B) {
	inMemory := environment{"memory", func(_ testing.TB, _ string, cfg *config.Config) { cfg.Quota = "memory:" }}
	var base float64
	for _, c := range append([]environment{inMemory}, countings()...) {
		for _, mode := range []string{config.Exact, config.Block} {
			if c.name == "memory" && mode == config.Block {
				continue // is not taken in blocks
			}
			b.Run(c.name+"/"+mode, func(b *testing.B) {
				cfg := config.Config{Store: "memory:", QuotaMode: mode, Migrate: true}
				c.keep(b, "", &cfg)
				s, done := openCounting(b, cfg.Settled(), &alerts{})
				var caller atomic.Int64
				b.SetParallelism(16)
				b.ResetTimer()
				b.RunParallel(func(pb *testing.PB) {
					own := fmt.Sprintf("grant:%d", caller.Add(1))
					for pb.Next() {
						v, err := s.Quota.Spend(b.Context(), time.Now(), []quota.Charge{
							{Key: "app:a", Max: 1 << 40, Window: time.Minute}, {Key: "app:a", Max: 1 << 41, Window: 24 * time.Hour},
							{Key: own, Max: 1 << 40, Window: time.Minute},
							{Key: own, Max: 1 << 40, Window: 15 * time.Minute, Theirs: true},
						})
						if err != nil || !v.Allowed {
							b.Errorf("%+v, %v", v, err)
							return
						}
					}
				})
				b.StopTimer()
				each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
				if c.name == "memory" {
					base = each
				}
				if base > 0 {
					b.ReportMetric(each/base, "ratio")
				}
				done()
			})
		}
	}
}
