package xsim

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A post is one post; a repost is a relation, not a post, except in timelines.
type post struct {
	id, author, text, conversation, source string
	replyTo, quotes, repostOf              string
	mediaKeys                              []string
	at                                     time.Time
	hidden                                 bool
}

func (p *post) references() []object {
	var refs []object
	for _, r := range []struct{ kind, id string }{
		{"retweeted", p.repostOf}, {"quoted", p.quotes}, {"replied_to", p.replyTo},
	} {
		if r.id != "" {
			refs = append(refs, object{"type": r.kind, "id": r.id})
		}
	}
	return refs
}

// An archive keeps the posts and what people do with them.
type archive struct {
	byID      map[string]*post
	order     []*post // oldest first
	byAuthor  map[string][]*post
	texts     map[string]string // what was said by whom, to find duplicates
	replies   map[string][]string
	quotes    map[string][]string
	likes     relation
	reposts   relation
	bookmarks relation
	folders   map[string]*folder
}

func newArchive() archive {
	return archive{
		byID: map[string]*post{}, byAuthor: map[string][]*post{}, texts: map[string]string{},
		replies: map[string][]string{}, quotes: map[string][]string{},
		likes: newRelation(), reposts: newRelation(), bookmarks: newRelation(), folders: map[string]*folder{},
	}
}

// newID makes an ID that grows with time, as X's do.
func (s *Sim) newID() string {
	const epoch = 1288834974657
	id := (s.now().UnixMilli() - epoch) << 22
	if id <= s.lastID {
		id = s.lastID + 1
	}
	s.lastID = id
	return strconv.FormatInt(id, 10)
}

func postRoutes() map[string]handler {
	return map[string]handler{
		"createPosts":    (*Sim).createPost,
		"deletePosts":    (*Sim).deletePost,
		"getPostsById":   (*Sim).postByID,
		"getPostsByIds":  (*Sim).postsByIDs,
		"hidePostsReply": (*Sim).hideReply,
	}
}

var postFieldNames = strings.Fields(`card_uri community_id direct_message_deep_link edit_options
	for_super_followers_only geo made_with_ai media nullcast paid_partnership poll quote_tweet_id reply
	reply_settings share_with_followers text`)

func (s *Sim) createPost(c *call) reply {
	p, refusal, ok := s.draft(c)
	if !ok {
		return refusal
	}
	key := p.author + "\x00" + p.replyTo + "\x00" + p.text
	if _, said := s.posts.texts[key]; said && len(p.mediaKeys) == 0 {
		return forbidden("You are not allowed to create a Tweet with duplicate content.")
	}
	p.id, p.at, p.source = s.newID(), s.now(), s.oauth.apps[c.cred.app].Name
	p.conversation = p.id
	if parent := s.posts.byID[p.replyTo]; parent != nil {
		p.conversation = parent.conversation
	}
	s.posts.keep(p, key)
	s.noteBy(c, "post.created", p.id, details{"text_fp": Fingerprint(p.text), "access_fp": c.cred.access})
	s.publish(p)
	return data(object{"id": p.id, "text": p.text, "edit_history_tweet_ids": []string{p.id}})
}

// keep files a post under everything it can be found by.
func (a *archive) keep(p *post, key string) {
	a.byID[p.id] = p
	a.order = append(a.order, p)
	a.byAuthor[p.author] = append(a.byAuthor[p.author], p)
	a.texts[key] = p.id
	if p.replyTo != "" {
		a.replies[p.replyTo] = append(a.replies[p.replyTo], p.id)
	}
	if p.quotes != "" {
		a.quotes[p.quotes] = append(a.quotes[p.quotes], p.id)
	}
}

// draft checks the body of POST /2/tweets and makes a post of it.
func (s *Sim) draft(c *call) (*post, reply, bool) {
	var wrong []param
	for name := range c.body {
		if !slices.Contains(postFieldNames, name) {
			wrong = append(wrong, param{name, "", "$." + name + ": is not defined in the schema and the schema does not " +
				"allow additional properties"})
		}
	}
	if len(wrong) > 0 {
		slices.SortFunc(wrong, func(a, b param) int { return strings.Compare(a.name, b.name) })
		return nil, invalid(wrong...), false
	}
	p := &post{author: c.user(), text: c.text("text"), quotes: c.text("quote_tweet_id")}
	if v, ok := c.body["text"]; ok && p.text == "" && v != "" {
		return nil, invalid(param{"text", "", "$.text: must be a string"}), false
	}
	media, refusal, ok := s.attached(c)
	if !ok {
		return nil, refusal, false
	}
	p.mediaKeys = media
	if strings.TrimSpace(p.text) == "" && len(media) == 0 && c.body["poll"] == nil {
		return nil, invalid(param{"text", "", "One of `text` or `media` is required."}), false
	}
	if r, ok := c.body["reply"].(map[string]any); ok {
		p.replyTo, _ = r["in_reply_to_tweet_id"].(string)
		if s.posts.byID[p.replyTo] == nil {
			return nil, invalid(param{"reply.in_reply_to_tweet_id", p.replyTo,
				"You attempted to reply to a Tweet that is deleted or not visible to you."}), false
		}
	}
	if p.quotes != "" && s.posts.byID[p.quotes] == nil {
		return nil, invalid(param{"quote_tweet_id", p.quotes, "The quoted Tweet is deleted or not visible to you."}), false
	}
	return p, reply{}, true
}

// attached checks the media IDs of a post: one to four, the caller's own, and ready.
func (s *Sim) attached(c *call) ([]string, reply, bool) {
	m, ok := c.body["media"].(map[string]any)
	if !ok {
		return nil, reply{}, true
	}
	ids, _ := m["media_ids"].([]any)
	if len(ids) < 1 || len(ids) > 4 {
		return nil, invalid(param{"media.media_ids", "", "$.media.media_ids: takes 1 to 4 IDs"}), false
	}
	keys := make([]string, 0, len(ids))
	for _, v := range ids {
		id, _ := v.(string)
		f := s.media.files[id]
		if f == nil || f.owner != c.user() || s.state(f) != "succeeded" {
			return nil, invalid(param{"media.media_ids", id, "Your media IDs are invalid."}), false
		}
		keys = append(keys, f.key)
	}
	return keys, reply{}, true
}

func (s *Sim) deletePost(c *call) reply {
	p, ok := s.posts.byID[c.params["id"]]
	if !ok {
		return notFound("tweet", "id", c.params["id"])
	}
	if p.author != c.user() {
		return forbidden("You are not authorized to delete this Tweet.")
	}
	s.posts.forget(p)
	s.noteBy(c, "post.deleted", p.id, details{"access_fp": c.cred.access})
	s.announce("streamPostsCompliance", object{"data": object{"delete": object{
		"event_at": stamp(s.now()), "tweet": object{"id": p.id, "author_id": p.author},
	}}})
	return data(object{"deleted": true})
}

// forget removes a post from everything it can be found by.
func (a *archive) forget(p *post) {
	gone := func(q *post) bool { return q == p }
	delete(a.byID, p.id)
	a.order = slices.DeleteFunc(a.order, gone)
	a.byAuthor[p.author] = slices.DeleteFunc(a.byAuthor[p.author], gone)
	delete(a.texts, p.author+"\x00"+p.replyTo+"\x00"+p.text)
	a.replies[p.replyTo] = without(a.replies[p.replyTo], p.id)
	a.quotes[p.quotes] = without(a.quotes[p.quotes], p.id)
	a.likes.drop(p.id)
	a.reposts.drop(p.id)
	a.bookmarks.drop(p.id)
}

func (s *Sim) postByID(c *call) reply {
	p, ok := s.posts.byID[c.params["id"]]
	if !ok {
		return missing("tweet", "id", c.params["id"])
	}
	body := object{"data": s.postView(c.authored(), p)}
	if in := s.includes(c, []*post{p}); len(in) > 0 {
		body["includes"] = in
	}
	return reply{body: body}
}

func (s *Sim) postsByIDs(c *call) reply {
	wanted := c.ids("ids")
	if n := len(wanted); n == 0 || n > 100 {
		return invalid(param{"ids", c.query.Get("ids"), "The `ids` query parameter takes 1 to 100 values"})
	}
	var found []*post
	var views, errs []object
	for _, id := range wanted {
		p, ok := s.posts.byID[id]
		if !ok {
			errs = append(errs, absent("tweet", "ids", id))
			continue
		}
		found = append(found, p)
		views = append(views, s.postView(c.authored(), p))
	}
	a := partial(views, errs)
	if in := s.includes(c, found); len(in) > 0 {
		a.body.(object)["includes"] = in
	}
	return a
}

func (s *Sim) hideReply(c *call) reply {
	p, ok := s.posts.byID[c.params["tweet_id"]]
	if !ok {
		return notFound("tweet", "tweet_id", c.params["tweet_id"])
	}
	hidden, ok := c.body["hidden"].(bool)
	if !ok {
		return needed("hidden")
	}
	root := s.posts.byID[p.conversation]
	if p.replyTo == "" || root == nil || root.author != c.user() {
		return forbidden("You may hide replies in your own conversations only.")
	}
	p.hidden = hidden
	s.noteBy(c, "post.hidden", p.id, details{"hidden": strconv.FormatBool(hidden)})
	return reply{status: http.StatusOK, body: object{"data": object{"hidden": hidden}}}
}
