package xsim

import (
	"slices"
	"strings"
	"time"
)

func timelineRoutes() map[string]handler {
	return map[string]handler{
		"getUsersPosts":        (*Sim).userPosts,
		"getUsersMentions":     (*Sim).mentions,
		"getUsersTimeline":     (*Sim).home,
		"searchPostsRecent":    (*Sim).searchPosts,
		"searchPostsAll":       (*Sim).searchPosts,
		"getPostsCountsRecent": (*Sim).countPosts,
		"getPostsCountsAll":    (*Sim).countPosts,
		"getPostsQuotedPosts":  (*Sim).quotesOf,
		"getPostsReposts":      (*Sim).repostsOf,
		"getUsersRepostsOfMe":  (*Sim).repostsOfMe,
	}
}

// newest lists the posts that pass, newest first, within since_id and until_id.
func (s *Sim) newest(c *call, pass func(*post) bool) []*post {
	since, until := c.query.Get("since_id"), c.query.Get("until_id")
	var found []*post
	for _, p := range slices.Backward(s.posts.order) {
		if since != "" && !later(p.id, since) || until != "" && !later(until, p.id) {
			continue
		}
		if pass(p) {
			found = append(found, p)
		}
	}
	return found
}

// later compares IDs as the numbers they are.
func later(a, b string) bool {
	if len(a) != len(b) {
		return len(a) > len(b)
	}
	return a > b
}

func (s *Sim) userPosts(c *call) reply {
	if s.people.byID[c.params["id"]] == nil {
		return missing("user", "id", c.params["id"])
	}
	exclude := c.ids("exclude")
	return s.postPage(c, s.newest(c, func(p *post) bool {
		return p.author == c.params["id"] && (p.replyTo == "" || !slices.Contains(exclude, "replies"))
	}))
}

func (s *Sim) mentions(c *call) reply {
	who := s.people.byID[c.params["id"]]
	if who == nil {
		return missing("user", "id", c.params["id"])
	}
	return s.postPage(c, s.newest(c, func(p *post) bool { return speaksOf(p.text, who.Username) }))
}

// speaksOf reports whether a text mentions a username as a word of its own.
func speaksOf(text, username string) bool {
	words := strings.FieldsFunc(strings.ToLower(text), func(r rune) bool {
		return r != '@' && r != '_' && (r < '0' || r > '9') && (r < 'a' || r > 'z')
	})
	return slices.Contains(words, "@"+strings.ToLower(username))
}

// home is the caller's own posts and those of whom they follow, less the muted.
func (s *Sim) home(c *call) reply {
	return s.postPage(c, s.newest(c, func(p *post) bool {
		if s.people.mutes.has(c.user(), p.author) {
			return false
		}
		return p.author == c.user() || s.people.follows.has(c.user(), p.author)
	}))
}

func (s *Sim) searchPosts(c *call) reply {
	query := c.query.Get("query")
	if strings.TrimSpace(query) == "" {
		return invalid(param{"query", "", "The `query` query parameter can not be empty"})
	}
	return s.postPage(c, s.newest(c, func(p *post) bool { return s.matches(query, p) }))
}

// countPosts answers with one bucket that holds everything found.
func (s *Sim) countPosts(c *call) reply {
	query := c.query.Get("query")
	if strings.TrimSpace(query) == "" {
		return invalid(param{"query", "", "The `query` query parameter can not be empty"})
	}
	now := s.now()
	n := len(s.newest(c, func(p *post) bool { return s.matches(query, p) }))
	bucket := object{"start": stamp(now.Add(-7 * 24 * time.Hour)), "end": stamp(now), "post_count": n, "tweet_count": n}
	return reply{body: object{
		"data": []object{bucket}, "meta": object{"total_post_count": n, "total_tweet_count": n},
	}}
}

func (s *Sim) quotesOf(c *call) reply {
	if s.posts.byID[c.params["id"]] == nil {
		return missing("tweet", "id", c.params["id"])
	}
	return s.postPage(c, s.newest(c, func(p *post) bool { return p.quotes == c.params["id"] }))
}

// repostsOf shows each repost as the post it would be.
func (s *Sim) repostsOf(c *call) reply {
	p := s.posts.byID[c.params["id"]]
	if p == nil {
		return missing("tweet", "id", c.params["id"])
	}
	var copies []*post
	for _, user := range s.posts.reposts.to(p.id) {
		copies = append(copies, s.asRepost(p, user))
	}
	return s.postPage(c, copies)
}

func (s *Sim) asRepost(p *post, user string) *post {
	name := ""
	if author := s.people.byID[p.author]; author != nil {
		name = author.Username
	}
	return &post{
		id: p.id, author: user, text: "RT @" + name + ": " + p.text, at: p.at, conversation: p.id, repostOf: p.id,
	}
}

func (s *Sim) repostsOfMe(c *call) reply {
	return s.postPage(c, s.newest(c, func(p *post) bool {
		return p.author == c.user() && len(s.posts.reposts.in[p.id]) > 0
	}))
}

// matches reports whether a post fits a query or a rule of the filtered stream:
// words and "phrases" must occur, from:name and -word are understood, OR
// separates alternatives. Every other operator matches everything.
func (s *Sim) matches(query string, p *post) bool {
	for _, alternative := range strings.Split(query, " OR ") {
		if s.matchesAll(terms(alternative), p) {
			return true
		}
	}
	return false
}

func (s *Sim) matchesAll(words []string, p *post) bool {
	text := strings.ToLower(p.text)
	for _, word := range words {
		word, negated := strings.CutPrefix(strings.ToLower(word), "-")
		var fits bool
		name, value, isOperator := strings.Cut(word, ":")
		switch {
		case isOperator && name == "from":
			author := s.people.byID[p.author]
			fits = author != nil && (strings.EqualFold(author.Username, strings.TrimPrefix(value, "@")) || author.ID == value)
		case isOperator && slices.Contains([]string{"has", "is", "lang", "to", "url", "sample"}, name):
			continue
		default:
			fits = strings.Contains(text, strings.Trim(word, `"`))
		}
		if fits == negated {
			return false
		}
	}
	return true
}

// terms splits a query into words and quoted phrases; brackets are dropped.
func terms(query string) []string {
	quoted := false
	return strings.FieldsFunc(query, func(r rune) bool {
		if r == '"' {
			quoted = !quoted
		}
		return !quoted && (r == ' ' || r == '(' || r == ')')
	})
}
