package xsim

import (
	"slices"
)

// fields lists what a query asks for under any of the names.
func (c *call) fields(names ...string) []string {
	var all []string
	for _, n := range names {
		all = append(all, c.ids(n)...)
	}
	return all
}

// postFields are what the query wants of each post; X renamed the parameter.
func (c *call) postFields() []string { return c.fields("tweet.fields", "post.fields") }

// expands reports whether the query asks for any of the expansions.
func (c *call) expands(names ...string) bool {
	wanted := c.ids("expansions")
	return slices.ContainsFunc(names, func(n string) bool { return slices.Contains(wanted, n) })
}

// keep copies the wanted fields of full into view.
func keep(view, full object, wanted []string) object {
	for _, name := range wanted {
		if v, ok := full[name]; ok {
			view[name] = v
		}
	}
	return view
}

// userView is a user as X shows them: three fields, and those asked for.
func (s *Sim) userView(c *call, p *person) object {
	view := object{"id": p.ID, "name": p.Name, "username": p.Username}
	wanted := c.ids("user.fields")
	if len(wanted) == 0 {
		return view
	}
	posts := len(s.posts.byAuthor[p.ID])
	metrics := object{
		"followers_count": len(s.people.follows.in[p.ID]), "following_count": len(s.people.follows.out[p.ID]),
		"tweet_count": posts, "post_count": posts, "like_count": len(s.posts.likes.out[p.ID]),
		"listed_count": len(s.lists.members.in[p.ID]), "media_count": 0,
	}
	full := object{
		"created_at": stamp(p.since), "description": p.Name + " lives in a simulator.", "location": "In a box",
		"profile_image_url": "https://abs.twimg.com/sticky/default_profile_images/default_profile_normal.png",
		"protected":         false, "verified": false, "verified_type": "none", "public_metrics": metrics,
		"url": "", "entities": object{},
	}
	if slices.Contains(c.cred.scopes, "users.email") && c.user() == p.ID {
		full["confirmed_email"] = p.Username + "@example.com"
	}
	return keep(view, full, wanted)
}

// postView is a post as X shows it: id, text, edit history, and what was asked for.
func (s *Sim) postView(wanted []string, p *post) object {
	view := object{"id": p.id, "text": p.text, "edit_history_tweet_ids": []string{p.id}}
	full := object{
		"author_id": p.author, "created_at": stamp(p.at), "conversation_id": p.conversation, "lang": "en",
		"source": p.source, "possibly_sensitive": false, "reply_settings": "everyone", "entities": object{},
		"edit_history_post_ids": []string{p.id},
	}
	metrics := object{
		"like_count": len(s.posts.likes.in[p.id]), "reply_count": len(s.posts.replies[p.id]),
		"quote_count": len(s.posts.quotes[p.id]), "bookmark_count": len(s.posts.bookmarks.in[p.id]),
		"retweet_count": len(s.posts.reposts.in[p.id]), "repost_count": len(s.posts.reposts.in[p.id]),
		"impression_count": 0,
	}
	full["public_metrics"] = metrics
	if parent := s.posts.byID[p.replyTo]; parent != nil {
		full["in_reply_to_user_id"] = parent.author
	}
	if refs := p.references(); len(refs) > 0 {
		full["referenced_tweets"], full["referenced_posts"] = refs, refs
	}
	if len(p.mediaKeys) > 0 {
		full["attachments"] = object{"media_keys": p.mediaKeys}
	}
	return keep(view, full, wanted)
}

// includes are the things posts refer to, as far as the query expands them.
func (s *Sim) includes(c *call, posts []*post) object {
	users, tweets, media := newSet(), newSet(), newSet()
	for _, p := range posts {
		if c.expands("author_id") {
			users.add(p.author)
		}
		if c.expands("referenced_tweets.id", "referenced_tweets.id.author_id", "referenced_posts") {
			tweets.add(p.replyTo, p.quotes, p.repostOf)
		}
		if c.expands("in_reply_to_user_id") {
			users.add(s.authors(p.replyTo)...)
		}
		if c.expands("attachments.media_keys") {
			media.add(p.mediaKeys...)
		}
	}
	if c.expands("referenced_tweets.id.author_id") {
		users.add(s.authors(tweets.list...)...)
	}
	return s.included(c, users.list, tweets.list, media.list)
}

// authors are those of the posts that exist.
func (s *Sim) authors(posts ...string) []string {
	var ids []string
	for _, p := range s.postsOf(posts) {
		ids = append(ids, p.author)
	}
	return ids
}

func (s *Sim) included(c *call, users, tweets, media []string) object {
	out := object{}
	var people, posts, files []object
	for _, id := range users {
		if p := s.people.byID[id]; p != nil {
			people = append(people, s.userView(c, p))
		}
	}
	for _, id := range tweets {
		if p := s.posts.byID[id]; p != nil {
			posts = append(posts, s.postView(c.authored(), p))
		}
	}
	for _, key := range media {
		files = append(files, object{"media_key": key, "type": s.media.typeOf(key)})
	}
	if len(people) > 0 {
		out["users"] = people
	}
	if len(posts) > 0 {
		out["tweets"] = posts
		if c.expands("referenced_posts") {
			out["posts"] = posts
		}
	}
	if len(files) > 0 {
		out["media"] = files
	}
	return out
}

// authored are the post fields asked for, with those an expansion implies.
func (c *call) authored() []string {
	wanted := c.postFields()
	for expansion, field := range map[string]string{
		"author_id": "author_id", "in_reply_to_user_id": "in_reply_to_user_id",
		"referenced_tweets.id": "referenced_tweets", "referenced_tweets.id.author_id": "referenced_tweets",
		"referenced_posts": "referenced_posts", "attachments.media_keys": "attachments",
	} {
		if c.expands(expansion) {
			wanted = append(wanted, field)
		}
	}
	return wanted
}

// A set keeps the first of each value, in order.
type set struct {
	seen map[string]bool
	list []string
}

func newSet() *set { return &set{seen: map[string]bool{}} }

func (s *set) add(values ...string) {
	for _, v := range values {
		if v != "" && !s.seen[v] {
			s.seen[v] = true
			s.list = append(s.list, v)
		}
	}
}
