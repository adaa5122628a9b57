package redis

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"perch/domain/fault"
	"perch/ports"
)

// Heads is a ports.Heads. Each method but Get is one script, which Redis runs
// with nothing else in between. A head is stored as its version, a line break and
// its body; versions are compared as text, because numbers of Lua are not whole.
type Heads struct {
	client *redis.Client
	keys   []string // heads by ID, IDs in order, IDs that are unsettled in order

	advance, settle, list *redis.Script
}

var _ ports.Heads = (*Heads)(nil)

// newHeads gives all keys one hash tag, so that a cluster keeps them together.
func newHeads(c *redis.Client, prefix string) *Heads {
	tag := prefix + ":{heads}"
	return &Heads{
		client: c, keys: []string{tag, tag + ":ids", tag + ":unsettled"},
		advance: redis.NewScript(stored + `
			if version ~= ARGV[2] then return 0 end
			redis.call('HSET', KEYS[1], ARGV[1], ARGV[3] .. '\n' .. ARGV[4])
			redis.call('ZADD', KEYS[2], 0, ARGV[1])
			redis.call('ZADD', KEYS[3], 0, ARGV[1])
			return 1`),
		settle: redis.NewScript(stored + `
			if version ~= ARGV[2] then return 0 end
			redis.call('ZREM', KEYS[3], ARGV[1])
			return 1`),
		list: redis.NewScript(`
			local out = redis.call('ZRANGEBYLEX', KEYS[2], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
			for i = #out, 1, -1 do
				out[2*i-1], out[2*i] = out[i], redis.call('HGET', KEYS[1], out[i])
			end
			return out`),
	}
}

// stored finds the version that a script guards.
const stored = `
	local version = string.match(redis.call('HGET', KEYS[1], ARGV[1]) or '0', '^%d+')`

func (s *Heads) Get(ctx context.Context, id string) (ports.Head, error) {
	if ctx.Err() != nil {
		return ports.Head{}, unavailable(ctx, ctx.Err())
	}
	switch text, err := s.client.HGet(ctx, s.keys[0], id).Result(); {
	case err == redis.Nil: //nolint:errorlint // never wrapped, and no error but a word for nothing
		return ports.Head{}, fault.New(fault.NotFound, "there is no such head")
	case err != nil:
		return ports.Head{}, unavailable(ctx, err)
	default:
		return read(id, text)
	}
}

func (s *Heads) Advance(ctx context.Context, version int64, next ports.Head) error {
	if next.Version <= version {
		return fault.New(fault.Invalid, "version %d does not follow version %d", next.Version, version)
	}
	return s.guarded(ctx, s.advance, next.ID, version, next.Version, next.Body)
}

func (s *Heads) Settle(ctx context.Context, id string, version int64) error {
	return s.guarded(ctx, s.settle, id, version)
}

// guarded runs a script that says 0 if the stored version is another one.
func (s *Heads) guarded(ctx context.Context, script *redis.Script, args ...any) error {
	if ctx.Err() != nil {
		return unavailable(ctx, ctx.Err())
	}
	n, err := script.Run(ctx, s.client, s.keys, args...).Int()
	if err != nil {
		return unavailable(ctx, err)
	}
	if n == 0 {
		return fault.New(fault.Conflict, "the record was changed meanwhile; read it again")
	}
	return nil
}

func (s *Heads) Unsettled(ctx context.Context, prefix, after string, n int) ([]ports.Head, error) {
	return s.page(ctx, s.keys[2], prefix, after, n)
}

func (s *Heads) List(ctx context.Context, prefix, after string, n int) ([]ports.Head, error) {
	return s.page(ctx, s.keys[1], prefix, after, n)
}

// page lists heads whose IDs are in the set under the key.
func (s *Heads) page(ctx context.Context, key, prefix, after string, n int) ([]ports.Head, error) {
	if ctx.Err() != nil {
		return nil, unavailable(ctx, ctx.Err())
	}
	if n < 1 {
		return nil, nil
	}
	from := "[" + prefix
	if after >= prefix {
		from = "(" + after
	}
	// No text in UTF-8 has the last byte.
	flat, err := s.list.Run(ctx, s.client, []string{s.keys[0], key}, from, "["+prefix+"\xff", n).StringSlice()
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	out := make([]ports.Head, 0, len(flat)/2)
	for i := 0; i+1 < len(flat); i += 2 {
		h, err := read(flat[i], flat[i+1])
		if err != nil {
			return nil, err
		}
		out = append(out, h)
	}
	return out, nil
}

func read(id, text string) (ports.Head, error) {
	number, body, ok := strings.Cut(text, "\n")
	version, err := strconv.ParseInt(number, 10, 64)
	if err != nil || !ok {
		return ports.Head{}, fault.New(fault.Internal, "").Because(fmt.Errorf("what Redis holds of %q is no head", id))
	}
	return ports.Head{ID: id, Version: version, Body: body}, nil
}
