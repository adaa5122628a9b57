package replays

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/secret"
	"perch/ports"
)

const (
	// skew is how far X's clock may be from ours. A post that is a little older
	// than the call is taken for it: X refuses the same text twice in such a time.
	skew = time.Minute

	// pages is how many pages of the user's newest posts are looked at.
	pages    = 25
	pageSize = "20"
)

// A Looker performs a read for the holder, as any other call of his.
type Looker func(ctx context.Context, call ports.Call) (ports.Reply, error)

// Resolve finds out what became of a call of which that is unknown, by looking at
// the user's own posts. A post that is there makes the call done. If it is not
// there idempotency.Late after it was sent, the call was not performed, and the
// key is released. Until then it is unknown: fault.Conflict, with the time after
// which to ask again; so is, without that time, what Perch cannot look up.
// The holder must be allowed to perform the call itself. What waits to be delivered
// stays queued, whatever was found.
func (s *Service) Resolve(ctx context.Context, h Holder, segment string, look Looker) (Status, error) {
	f, err := s.owned(ctx, h, segment)
	if err != nil {
		return Status{}, err
	}
	if f.record.Scope == "" {
		return s.status(f), nil
	}
	status, err := s.resolve(ctx, h, f, look)
	if err == nil && f.waits() {
		return s.status(f), nil
	}
	return status, err
}

func (s *Service) resolve(ctx context.Context, h Holder, f finding, look Looker) (Status, error) {
	key, r, now := f.key, f.record, s.Now()
	switch standing := r.Standing(now); {
	case standing == idempotency.Done:
		return s.status(f), nil
	case standing == idempotency.Reserved && r.Free(now, false):
		return s.let(ctx, f)
	case standing != idempotency.Unknown:
		return Status{}, s.linked(s.underWay(r), key)
	case !resolvable(r):
		return Status{}, s.unknown(key, s.advice(r))
	}
	found, seen, err := s.search(ctx, h, key, r, look)
	switch {
	case err != nil:
		return Status{}, err
	case found.ID != "":
		return s.found(ctx, h, f, found)
	case seen == unclear:
		return Status{}, s.unknown(key, "There is a post that may be this one, changed since or not told from it, or there "+
			"are too many to look at. "+byYourself)
	case seen == hidden:
		return Status{}, s.unknown(key, "Perch cannot look posts of this kind up. "+byYourself)
	case now.Before(r.Ripe()): // when the search began
		return Status{}, s.unknown(key, "It is not among the user's posts, and X may still be late; resolve it again later").
			After(r.Ripe().Sub(now))
	}
	return s.let(ctx, f)
}

// byYourself is what is left to do where Perch cannot tell.
const byYourself = "Look at X whether it was done. If so, use a new key for what comes next; if not, DELETE " +
	"status_url and send the request again."

// let releases the key.
func (s *Service) let(ctx context.Context, f finding) (Status, error) {
	err := s.Replies.Remove(ctx, f.record)
	if errors.Is(err, fault.Conflict) {
		return Status{}, s.linked(inProgress(), f.key) // it has gone on meanwhile
	}
	if err == nil || errors.Is(err, fault.NotFound) {
		err = s.letGo(ctx, f.delivery)
	}
	if err != nil {
		return Status{}, err
	}
	return released(f.key, f.record), nil
}

// found makes the call done, as if X had answered with the post.
func (s *Service) found(
	ctx context.Context, h Holder, f finding, p post,
) (Status, error) {
	r := f.record
	body, err := json.Marshal(map[string]any{"data": map[string]any{
		"id": p.ID, "text": p.Text, "edit_history_tweet_ids": p.History,
	}})
	if err != nil {
		return Status{}, err
	}
	box, err := s.sealReply(ctx, r.Scope, ports.Reply{
		Header: map[string][]string{"Content-Type": {"application/json; charset=utf-8"}}, Whole: body,
	})
	if err != nil {
		return Status{}, err
	}
	next := r.Settle(action(posting).Success, box, s.Now())
	err = s.Replies.Swap(ctx, r, next)
	if errors.Is(err, fault.Conflict) || errors.Is(err, fault.NotFound) { // somebody else was as quick
		return s.Look(ctx, h, f.key.Segment())
	}
	f.record = next
	return s.status(f), err
}

// A sight is what a search has seen where it did not find the post.
type sight int

const (
	nothing sight = iota // everything that could be it, and it was not
	unclear              // something that may be it
	hidden               // a post of this kind need not be among those of the user
)

// search looks for the post among those of the user, the newest first.
func (s *Service) search(
	ctx context.Context, h Holder, key idempotency.Key, r idempotency.Record, look Looker,
) (post, sight, error) {
	text, err := s.Keyring.Open(ctx, r.Request, secret.Label(requestLabel, r.Scope))
	if err != nil {
		return post{}, unclear, s.unknown(key, "What was sent cannot be opened any more. "+byYourself).Because(err)
	}
	want, ok := draftOf([]byte(text.Reveal()))
	if !ok || want.hidden {
		return post{}, hidden, nil
	}
	since := r.Sent.Add(-skew).Truncate(time.Second)
	until := r.Ripe().Add(skew)
	seen, next := nothing, ""
	for range pages {
		page, err := s.page(ctx, h, since, next, look)
		if err != nil {
			return post{}, seen, err
		}
		found, one := want.among(page.Data, since, until)
		if found.ID != "" {
			return found, seen, nil
		}
		seen = max(seen, one)
		if len(page.Errors) > 0 || page.Data == nil && page.Meta.Count == nil {
			return post{}, unclear, notLooked("X did not show all of the user's posts; try again later")
		}
		if next = page.Meta.Next; next == "" {
			return post{}, seen, nil
		}
	}
	return post{}, unclear, nil
}

// among looks for the post among others, of those that were made in the time.
func (d draft) among(posts []post, since, until time.Time) (found post, seen sight) {
	for _, p := range posts {
		switch {
		case p.ID == "" || p.At.IsZero() || p.edited() && !p.At.Before(since):
			seen = unclear
		case p.At.Before(since) || p.At.After(until):
		case d.is(p):
			return p, seen
		case d.maybe(p):
			seen = unclear
		}
	}
	return post{}, seen
}

// page asks X for one page of the user's posts.
func (s *Service) page(
	ctx context.Context, h Holder, since time.Time, next string, look Looker,
) (p timeline, err error) {
	q := url.Values{
		"max_results": {pageSize}, "start_time": {since.UTC().Format(time.RFC3339)},
		"tweet.fields": {"created_at,entities,referenced_tweets,note_tweet,attachments,edit_history_tweet_ids," +
			"geo,community_id,card_uri"},
	}
	if next != "" {
		q.Set("pagination_token", next)
	}
	reply, err := look(ctx, ports.Call{
		Action: action(looking), Params: map[string]string{"id": string(h.User)}, Query: q.Encode(),
	})
	if err != nil {
		return p, err
	}
	defer func() { _ = reply.Body.Close() }()
	if reply.Status != 200 {
		return p, notLooked("X did not show the user's posts (it said %d); try again later", reply.Status)
	}
	if err := json.Unmarshal(reply.Whole, &p); err != nil {
		return p, fault.New(fault.Upstream, "X's answer is no list of posts; try again later").After(time.Minute)
	}
	return p, nil
}

func notLooked(say string, of ...any) error {
	return fault.New(fault.Unavailable, say, of...).Named("idempotency-not-looked").After(time.Minute)
}
