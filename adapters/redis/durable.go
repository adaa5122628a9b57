package redis

import (
	"context"
	"errors"
	"strings"

	"github.com/redis/go-redis/v9"
)

// durable refuses a Redis that may lose heads without anybody noticing. One that
// is saved from time to time is the worst: after a crash it knows versions that
// were current minutes ago, among them refresh tokens that X has seen already.
func durable(ctx context.Context, c *redis.Client) (notices []string, err error) {
	const stated = "; if it keeps every write in another way, say durable=unchecked in its URL"
	text, err := c.Info(ctx, "memory", "persistence").Result()
	if err != nil {
		return nil, errors.New("does not show how it keeps things (INFO); allow that" + stated)
	}
	known := fields(text)
	if policy := known["maxmemory_policy"]; known["maxmemory"] != "0" && strings.HasPrefix(policy, "allkeys-") {
		return nil, errors.New("drops keys when its memory is full (maxmemory-policy " + policy +
			"); set maxmemory-policy noeviction, or use another Redis for this")
	}
	if known["aof_enabled"] != "1" {
		return nil, errors.New("does not write down what it is told (appendonly no), and forgets it in a crash; " +
			"set appendonly yes and appendfsync always" + stated)
	}
	switch set, err := c.ConfigGet(ctx, "appendfsync").Result(); {
	case err != nil:
		notices = append(notices, "Redis does not show appendfsync; it should be always")
	case set["appendfsync"] != "always":
		notices = append(notices, "Redis has appendfsync "+set["appendfsync"]+": a machine that loses power loses the "+
			"last writes, and users whose tokens were refreshed just then may have to connect again; set it to always")
	}
	return notices, nil
}

// evicting says whether a Redis may drop counts when its memory is full. They have
// an end, so every policy but noeviction is about them.
func evicting(ctx context.Context, c *redis.Client) []string {
	text, err := c.Info(ctx, "memory").Result()
	if err != nil {
		return []string{"Redis does not show what it does when its memory is full (INFO); " +
			"it should have maxmemory-policy noeviction, or limits may begin anew unseen"}
	}
	known := fields(text)
	if policy := known["maxmemory_policy"]; known["maxmemory"] != "0" && policy != "noeviction" {
		return []string{"Redis drops keys when its memory is full (maxmemory-policy " + policy + "): limits whose " +
			"counts are dropped begin anew, unseen; set maxmemory-policy noeviction, or count calls in another Redis"}
	}
	return nil
}

// fields reads the lines of INFO.
func fields(text string) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			out[name] = value
		}
	}
	return out
}
