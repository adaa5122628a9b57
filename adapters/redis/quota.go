package redis

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"perch/domain/fault"
	"perch/domain/quota"
	"perch/ports"
)

// Quota is a ports.QuotaStore. Each method is one script, which Redis runs with
// nothing else in between; windows of ours are those of Redis's clock. A bucket is
// a hash: u is used, r when the window ends, g whether that is our guess, n the
// maximum that X said. Times are microseconds since 1970, which Lua's numbers hold
// exactly, as they do every maximum and use that quota bounds.
type Quota struct {
	client *redis.Client
	tag    string

	spend, refund, note *redis.Script
}

var _ ports.QuotaStore = (*Quota)(nil)

// newQuota gives all keys one hash tag, so that a cluster keeps them together and
// one script may touch several.
func newQuota(c *redis.Client, prefix string) *Quota {
	return &Quota{
		client: c, tag: prefix + ":{quotas}:",
		spend: redis.NewScript(spendScript), refund: redis.NewScript(refundScript), note: redis.NewScript(noteScript),
	}
}

const (
	fields7    = 7 // of a charge among the arguments of spendScript
	shownByKey = 5 // of a bucket in its answer
)

// spendScript first looks at all buckets and then writes, so that it writes
// nothing if one refuses. What it writes ends with the window; what X said is
// known for a day longer.
const spendScript = `
	local t = redis.call('TIME')
	local server = t[1] * 1000000 + t[2]
	local out, fits, seen = {}, 1, {}
	for i, key in ipairs(KEYS) do
		local a = {}
		for j = 1, 7 do a[j] = tonumber(ARGV[(i - 1) * 7 + j]) end
		local theirs, now, lasts, most, wanted, least, share = unpack(a)
		if theirs == 0 then now = server end
		local b = redis.call('HMGET', key, 'u', 'r', 'g', 'n')
		local used, resets, guessed = tonumber(b[1] or 0), tonumber(b[2] or 0), tonumber(b[3] or 0)
		if b[4] then most = tonumber(b[4]) end
		if resets <= now then used, resets, guessed = 0, now + lasts, theirs end
		local room = math.floor(most / 100) * share + math.floor(most % 100 * share / 100) - used
		local gives = math.min(wanted, room)
		local enough = 1
		if gives < least then enough, fits = 0, 0 end
		seen[i] = {used + gives, resets, guessed, gives, resets - now + theirs * 86400000000}
		local n = (i - 1) * 5 + 1
		out[n + 1], out[n + 2], out[n + 3], out[n + 4], out[n + 5] = used, resets, most, gives, enough
	end
	out[1] = fits
	if fits == 0 then return out end
	for i, key in ipairs(KEYS) do
		local s = seen[i]
		redis.call('HSET', key, 'u', string.format('%.0f', s[1]), 'r', string.format('%.0f', s[2]), 'g', s[3])
		redis.call('PEXPIRE', key, string.format('%.0f', math.floor(s[5] / 1000) + 1))
		out[(i - 1) * 5 + 2] = s[1]
	end
	return out`

// refundScript has the refund's own name as its last key, and does nothing for a
// name that it knows: giving back twice would let more through than the limit.
const refundScript = `
	if not redis.call('SET', KEYS[#KEYS], 1, 'NX', 'PX', 60000) then return 0 end
	for i = 1, #KEYS - 1 do
		local key = KEYS[i]
		local b = redis.call('HMGET', key, 'u', 'r')
		if b[1] and tonumber(b[2]) == tonumber(ARGV[i * 2 - 1]) then
			local used = math.max(tonumber(b[1]) - tonumber(ARGV[i * 2]), 0)
			redis.call('HSET', key, 'u', string.format('%.0f', used))
		end
	end
	return 0`

// noteScript says what quota.Bucket.Noted says.
const noteScript = `
	local now, slack = tonumber(ARGV[1]), 1000000
	for i, key in ipairs(KEYS) do
		local most, said, ends = tonumber(ARGV[i * 3 - 1]), tonumber(ARGV[i * 3]), tonumber(ARGV[i * 3 + 1])
		local b = redis.call('HMGET', key, 'u', 'r', 'g')
		local used, resets, guessed = tonumber(b[1] or 0), tonumber(b[2] or 0), b[3] == '1'
		if guessed or ends >= resets - slack then
			if (guessed and (resets <= now or ends - resets > resets - now)) or (not guessed and ends > resets + slack) then
				used = said
			else
				used = math.max(used, said)
			end
			redis.call('HSET', key, 'u', string.format('%.0f', used), 'r', string.format('%.0f', ends), 'g', 0,
				'n', string.format('%.0f', most))
			redis.call('PEXPIRE', key, string.format('%.0f', math.floor(math.max(ends - now, 0) / 1000) + 86400001))
		end
	end
	return 0`

func (q *Quota) Spend(ctx context.Context, at time.Time, charges []quota.Charge) (quota.Verdict, error) {
	charges, err := quota.Complete(charges)
	if err != nil || len(charges) == 0 {
		return quota.Verdict{Allowed: err == nil}, err
	}
	keys, args := make([]string, len(charges)), make([]any, 0, len(charges)*fields7)
	for i, c := range charges {
		theirs := 0
		if c.Theirs {
			theirs = 1
		}
		keys[i] = q.key(c.Name())
		args = append(args, theirs, at.UnixMicro(), c.Window.Microseconds(), c.Max, c.Cost, c.Least, c.Share)
	}
	out, err := q.run(ctx, q.spend, keys, args)
	if err != nil {
		return quota.Verdict{}, err
	}
	if len(out) != 1+len(charges)*shownByKey {
		return quota.Verdict{}, fault.New(fault.Internal, "").Because(fmt.Errorf("a script gave %d numbers", len(out)))
	}
	return verdict(out[0] == 1, out[1:]), nil
}

func verdict(allowed bool, out []int64) quota.Verdict {
	v := quota.Verdict{Allowed: allowed, Grips: make([]quota.Grip, len(out)/shownByKey)}
	refused := false
	for i := range v.Grips {
		b := out[i*shownByKey : (i+1)*shownByKey]
		g := &v.Grips[i]
		g.Limit, g.Remaining, g.Reset = b[2], max(b[2]-b[0], 0), time.UnixMicro(b[1]).UTC()
		if g.Allowed = b[4] == 1; allowed {
			g.Given = b[3]
		} else if !g.Allowed && !refused {
			v.Full, refused = i, true
		}
	}
	return v
}

func (q *Quota) Refund(ctx context.Context, returns []quota.Return) error {
	var keys []string
	var args []any
	for _, r := range returns {
		if r.Given > 0 {
			keys, args = append(keys, q.key(r.Charge.Name())), append(args, r.Reset.UnixMicro(), r.Given)
		}
	}
	if len(keys) == 0 {
		return nil
	}
	_, err := q.run(ctx, q.refund, append(keys, q.tag+"refund:"+rand.Text()), args)
	return err
}

func (q *Quota) Note(ctx context.Context, at time.Time, notes []quota.Note) error {
	var keys []string
	args := []any{at.UnixMicro()}
	for _, n := range quota.Believable(notes, at) {
		keys = append(keys, q.key(quota.NameOfTheirs(n.Key)))
		args = append(args, n.Max, n.Used, n.Reset.UnixMicro())
	}
	_, err := q.run(ctx, q.note, keys, args)
	return err
}

// run runs the script, unless there is nothing to do. Connections of TLS do not
// show that the server has left them since, so what ends with its connection is
// sent again on others, as often as there can be such. At worst it was counted:
// then the limit gives less. What was given back is not given back again.
func (q *Quota) run(ctx context.Context, s *redis.Script, keys []string, args []any) ([]int64, error) {
	if ctx.Err() != nil {
		return nil, unavailable(ctx, ctx.Err())
	}
	if len(keys) == 0 {
		return nil, nil
	}
	got, err := s.Run(ctx, q.client, keys, args...).Result()
	for range q.client.Options().PoolSize {
		if !torn(err) || ctx.Err() != nil {
			break
		}
		got, err = s.Run(ctx, q.client, keys, args...).Result()
	}
	if err != nil {
		return nil, unavailable(ctx, err)
	}
	list, _ := got.([]any)
	out := make([]int64, len(list))
	for i, n := range list {
		out[i], _ = n.(int64)
	}
	return out, nil
}

// torn reports whether a connection ended before the answer.
func torn(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// key names the bucket; what may hold anything comes last.
func (q *Quota) key(n quota.Name) string {
	if n.Window < 0 {
		return q.tag + "x:" + n.Key
	}
	return fmt.Sprintf("%s%d:%d:%s", q.tag, n.Max, n.Window.Microseconds(), n.Key)
}
