package torture

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"perch/adapters/xhttp/xsim"
	"perch/domain/client"
	"perch/domain/fault"
	"perch/domain/idempotency"
	"perch/domain/oauth"
)

var posts = flag.Int("posts", 300, "how many posts are sent in each setup of TestPosts")

// killEvery is after how many posts a replica is killed.
const killEvery = 75

// A letter is one post that some client wants to be made, and what it heard.
type letter struct {
	text, key, user string

	id       string // of the post, once the client has been told
	unknown  bool   // it was told that nobody knows
	resolved string // how that ended: done or released
	tries    int
}

// A count is what came of all letters.
type count struct {
	posts, kills, tries, unknown, found, released, waiting, replayed int
	twice, missing                                                   int // must be 0
}

func (c count) line(s setup, seed uint64) string {
	return fmt.Sprintf("posts: store=%s replicas=%d posts=%d kills=%d requests=%d unknown=%d found=%d released=%d "+
		"waited_for_dead=%d replayed=%d twice=%d missing=%d seed=%d",
		s.store, s.replicas, c.posts, c.kills, c.tries, c.unknown, c.found, c.released, c.waiting, c.replayed,
		c.twice, c.missing, seed)
}

// TestPosts sends posts with keys through lost, torn and failed answers while
// replicas are killed and clients leave, until each client has an answer. At the
// end the ledger of X has each text once, and X was never asked for one that it
// had.
func TestPosts(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano()) % 1e9
	}
	binary := built(t)
	var lines []string
	for _, s := range setups() {
		if s.replicas == 1 {
			continue
		}
		t.Run(s.store, func(t *testing.T) {
			s.replicas = 2
			r := newRun(t, s, binary, *seed)
			lines = append(lines, r.post(*posts).line(s, *seed))
			t.Log(lines[len(lines)-1])
		})
	}
	if *summary != "" {
		if err := os.WriteFile(*summary, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
			t.Error(err)
		}
	}
}

// trouble is what X does to posts.
func (r *run) trouble() {
	for i, m := range []xsim.Mischief{
		{Kind: "lost", Probability: 0.04}, {Kind: "torn", Probability: 0.04},
		{Kind: "status", Status: 500, Execute: true, Probability: 0.03}, {Kind: "outage", Execute: true, Probability: 0.03},
		{Kind: "outage", Probability: 0.03}, {Kind: "refused", Probability: 0.02}, {Kind: "rate_limit_bare", Probability: 0.02},
		{Kind: "html", Execute: true, Probability: 0.02}, {Kind: "slow", Delay: 30 * time.Millisecond, Probability: 0.3},
	} {
		m.Match, m.Seed = "createPosts", r.seed+uint64(i)
		r.x.Mischief(m)
	}
}

func (r *run) post(n int) (c count) {
	r.trouble()
	letters, users := make([]*letter, n), r.users()
	for i := range letters {
		letters[i] = &letter{
			text: fmt.Sprintf("number %d of %d & <so> on", i, r.seed), key: fmt.Sprintf("key-%d-%d", r.seed, i),
			user: users[i%len(users)],
		}
	}
	var next, ended atomic.Int64
	var storm sync.WaitGroup
	for i := range 16 {
		storm.Go(func() {
			dice := rand.New(rand.NewPCG(r.seed, uint64(i)))
			for {
				at := int(next.Add(1)) - 1
				if at >= n {
					return
				}
				r.deliver(letters[at], dice, 2*time.Second)
				ended.Add(1)
			}
		})
	}
	for ; int(ended.Load())+16 < n; time.Sleep(time.Millisecond) {
		if int(ended.Load()) < (c.kills+1)*killEvery-r.dice.IntN(killEvery/2) {
			continue
		}
		one := r.replicas[r.dice.IntN(len(r.replicas))]
		one.kill()
		c.kills++
		time.Sleep(time.Duration(r.dice.IntN(100)) * time.Millisecond)
		must(r.t, one.start(r.t.Context()))
	}
	storm.Wait()
	r.rest(letters, &c)
	return c
}

// rest lets the time pass that those who died leave everything in, and has the
// clients that still wait ask again.
func (r *run) rest(letters []*letter, c *count) {
	for _, one := range r.replicas {
		one.kill()
	}
	r.x.ClearMischief()
	waiting := slices.DeleteFunc(slices.Clone(letters), func(l *letter) bool { return l.id != "" })
	for _, l := range waiting {
		r.age(l)
	}
	for _, one := range r.replicas {
		must(r.t, one.start(r.t.Context()))
	}
	c.waiting = len(waiting)
	dice := rand.New(rand.NewPCG(r.seed, 99))
	for _, l := range waiting {
		r.deliver(l, dice, time.Minute)
	}
	r.judge(letters, c)
}

// age moves what is known of the letter's call into the past, as if its holder
// had died long ago.
func (r *run) age(l *letter) {
	replies := r.store.Replies()
	scope := idempotency.Key(l.key).Scope(client.AppID(r.app), oauth.GrantID(r.grant(l.user)))
	for {
		was, err := replies.Get(r.t.Context(), scope)
		if err != nil {
			return // it was let go
		}
		long := idempotency.Late + time.Second
		aged := was
		aged.Lease = time.Now().Add(-time.Second)
		if !aged.Sent.IsZero() {
			aged.Sent = aged.Sent.Add(-long)
		}
		err = replies.Swap(r.t.Context(), was, aged)
		if !errors.Is(err, fault.Conflict) { // the last words of the dead may reach the store a moment later
			must(r.t, err)
			return
		}
	}
}

// deliver asks with the letter's key until the client has an answer, or has had
// no luck for so long.
func (r *run) deliver(l *letter, dice *rand.Rand, patience time.Duration) {
	for end := time.Now().Add(patience); time.Now().Before(end); {
		l.tries++
		ctx, leave := context.WithTimeout(r.t.Context(), 3*time.Second)
		if dice.IntN(20) == 0 { // a client that does not wait
			leave()
			ctx, leave = context.WithTimeout(r.t.Context(), time.Duration(dice.IntN(8000))*time.Microsecond)
		}
		one := r.replicas[dice.IntN(len(r.replicas))]
		body, err := json.Marshal(map[string]any{"text": l.text})
		if err != nil {
			r.t.Error(err)
		}
		status, out := r.keyed(ctx, "POST", one.public+"/2/tweets", l, string(body))
		leave()
		switch {
		case status == http.StatusCreated:
			l.id, _ = out.Data["id"].(string)
			return
		case status == http.StatusConflict && strings.HasSuffix(out.Type, "idempotency-unknown"):
			l.unknown = true
			if r.resolve(l, r.replicas[dice.IntN(len(r.replicas))]) {
				continue
			}
		case status == http.StatusConflict, status == http.StatusTooManyRequests, status >= 500, status == 0:
		default:
			r.t.Errorf("%s: %d %+v", l.text, status, out)
			return
		}
		time.Sleep(time.Duration(5+dice.IntN(40)) * time.Millisecond)
	}
}

// resolve reports whether it is known now what became of the letter.
func (r *run) resolve(l *letter, one *replica) bool {
	status, out := r.keyed(r.t.Context(), "POST", one.public+"/v1/idempotency/"+l.key+"/resolve", l, "")
	if status != http.StatusOK {
		return false
	}
	l.resolved = out.State
	return true
}

// said is what a client reads of a reply.
type said struct {
	Type, State string
	Data        map[string]any
	replayed    bool
}

func (r *run) keyed(ctx context.Context, method, at string, l *letter, body string) (status int, out said) {
	q, err := http.NewRequestWithContext(ctx, method, at, strings.NewReader(body))
	if err != nil {
		return 0, out
	}
	q.Header.Set("Authorization", "Bearer "+r.key)
	q.Header.Set("Content-Type", "application/json")
	q.Header.Set("Perch-Grant", r.grant(l.user))
	if body != "" {
		// X-… is what would make net/http send it again by itself; this does not.
		q.Header["Idempotency-Key"], q.GetBody = []string{`"` + l.key + `"`}, nil
	}
	reply, err := r.client.Do(q)
	if err != nil {
		return 0, out
	}
	defer func() { _ = reply.Body.Close() }()
	b, err := io.ReadAll(reply.Body)
	if err != nil || json.Unmarshal(b, &out) != nil && reply.StatusCode == http.StatusCreated {
		return 0, out
	}
	out.replayed = reply.Header.Get("Idempotency-Replayed") == "true"
	return reply.StatusCode, out
}

// judge compares what clients were told with what X has.
func (r *run) judge(letters []*letter, c *count) {
	made := map[string][]string{} // by the text's fingerprint, the posts' IDs
	for _, e := range r.x.Ledger() {
		switch {
		case e.Type == "post.created":
			made[e.Details["text_fp"]] = append(made[e.Details["text_fp"]], e.Object)
		case e.Type == "call" && e.Object == "createPosts" && e.Details["status"] == "403":
			c.twice++
			r.t.Errorf("X was asked for a post that it had: %+v", e)
		}
	}
	for i, l := range letters {
		ids := made[xsim.Fingerprint(l.text)]
		if len(ids) > 1 {
			c.twice++
		}
		if len(ids) != 1 || l.id != ids[0] {
			c.missing++
			r.t.Errorf("%q: the client was told of the post %q, and X has %q (unknown: %v, resolved: %s)",
				l.text, l.id, ids, l.unknown, l.resolved)
		}
		c.posts, c.tries = c.posts+1, c.tries+l.tries
		if l.unknown {
			c.unknown++
		}
		switch l.resolved {
		case string(idempotency.Done):
			c.found++
		case "released":
			c.released++
		}
		if i%10 > 0 {
			continue
		}
		body, _ := json.Marshal(map[string]any{"text": l.text})
		status, out := r.keyed(r.t.Context(), "POST", r.replicas[i%2].public+"/2/tweets", l, string(body))
		if status != http.StatusCreated || !out.replayed || out.Data["id"] != l.id {
			r.t.Errorf("%q, asked for once more: %d %+v", l.text, status, out)
		}
		c.replayed++
	}
	if len(made) != len(letters) {
		r.t.Errorf("X has %d texts of %d", len(made), len(letters))
	}
}
