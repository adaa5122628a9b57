package xsim

import "net/http"

func engagementRoutes() map[string]handler {
	return map[string]handler{
		"likePost":        (*Sim).like,
		"unlikePost":      (*Sim).unlike,
		"repostPost":      (*Sim).repost,
		"unrepostPost":    (*Sim).unrepost,
		"followUser":      (*Sim).follow,
		"unfollowUser":    (*Sim).unfollow,
		"muteUser":        (*Sim).mute,
		"unmuteUser":      (*Sim).unmute,
		"blockUsersDms":   func(s *Sim, c *call) reply { return s.blockDMs(c, true) },
		"unblockUsersDms": func(s *Sim, c *call) reply { return s.blockDMs(c, false) },
		"getPostsLikingUsers": func(s *Sim, c *call) reply {
			return s.usersOfPost(c, s.posts.likes.to)
		},
		"getPostsRepostedBy": func(s *Sim, c *call) reply {
			return s.usersOfPost(c, s.posts.reposts.to)
		},
		"getUsersLikedPosts": (*Sim).likedPosts,
		"getUsersFollowers":  func(s *Sim, c *call) reply { return s.usersOfUser(c, s.people.follows.to) },
		"getUsersFollowing":  func(s *Sim, c *call) reply { return s.usersOfUser(c, s.people.follows.of) },
		"getUsersMuting":     func(s *Sim, c *call) reply { return s.usersOfUser(c, s.people.mutes.of) },
		"getUsersBlocking":   func(s *Sim, c *call) reply { return s.usersOfUser(c, s.people.blocks.of) },
	}
}

// pair adds or removes a pair and writes down what changed; repeating changes nothing.
func (s *Sim) pair(c *call, r *relation, on bool, event, from, to string) {
	if on && r.add(from, to) {
		s.noteBy(c, event+".created", to, nil)
	}
	if !on && r.remove(from, to) {
		s.noteBy(c, event+".deleted", to, nil)
	}
}

// postIn finds the post a write names, in its body.
func (s *Sim) postIn(c *call, field string) (*post, reply, bool) {
	id := c.text(field)
	if id == "" {
		return nil, needed(field), false
	}
	p, ok := s.posts.byID[id]
	if !ok {
		return nil, notFound("tweet", field, id), false
	}
	return p, reply{}, true
}

// userIn finds the user a write names, in its body; it may not be the caller.
func (s *Sim) userIn(c *call, field string) (*person, reply, bool) {
	id := c.text(field)
	if id == "" {
		return nil, needed(field), false
	}
	p, ok := s.people.byID[id]
	if !ok {
		return nil, notFound("user", field, id), false
	}
	return p, reply{}, true
}

func (s *Sim) like(c *call) reply {
	p, refusal, ok := s.postIn(c, "tweet_id")
	if !ok {
		return refusal
	}
	s.pair(c, &s.posts.likes, true, "like", c.user(), p.id)
	for _, stream := range []string{"streamLikesFirehose", "streamLikesSample10"} {
		s.announce(stream, object{"data": object{
			"id": c.user() + "-" + p.id, "created_at": stamp(s.now()), "liked_tweet_id": p.id,
			"tweet_author_id": p.author, "timestamp_ms": s.now().UnixMilli(),
		}})
	}
	return data(object{"liked": true})
}

func (s *Sim) unlike(c *call) reply {
	s.pair(c, &s.posts.likes, false, "like", c.user(), c.params["tweet_id"])
	return data(object{"liked": false})
}

func (s *Sim) repost(c *call) reply {
	p, refusal, ok := s.postIn(c, "tweet_id")
	if !ok {
		return refusal
	}
	s.pair(c, &s.posts.reposts, true, "repost", c.user(), p.id)
	return data(object{"rest_id": p.id, "retweeted": true})
}

func (s *Sim) unrepost(c *call) reply {
	s.pair(c, &s.posts.reposts, false, "repost", c.user(), c.params["source_tweet_id"])
	return data(object{"retweeted": false})
}

func (s *Sim) follow(c *call) reply {
	p, refusal, ok := s.userIn(c, "target_user_id")
	if !ok {
		return refusal
	}
	if p.ID == c.user() {
		return invalid(param{"target_user_id", p.ID, "You cannot follow yourself"})
	}
	s.pair(c, &s.people.follows, true, "follow", c.user(), p.ID)
	return data(object{"following": true, "pending_follow": false})
}

func (s *Sim) unfollow(c *call) reply {
	s.pair(c, &s.people.follows, false, "follow", c.user(), c.params["target_user_id"])
	return data(object{"following": false})
}

func (s *Sim) mute(c *call) reply {
	p, refusal, ok := s.userIn(c, "target_user_id")
	if !ok {
		return refusal
	}
	s.pair(c, &s.people.mutes, true, "mute", c.user(), p.ID)
	return data(object{"muting": true})
}

func (s *Sim) unmute(c *call) reply {
	s.pair(c, &s.people.mutes, false, "mute", c.user(), c.params["target_user_id"])
	return data(object{"muting": false})
}

// blockDMs is about the target in the path, not the caller.
func (s *Sim) blockDMs(c *call, on bool) reply {
	if s.people.byID[c.params["id"]] == nil {
		return notFound("user", "id", c.params["id"])
	}
	s.pair(c, &s.people.blocks, on, "block", c.user(), c.params["id"])
	return reply{status: http.StatusOK, body: object{"data": object{"blocked": on}}}
}

func (s *Sim) usersOfPost(c *call, list func(string) []string) reply {
	if s.posts.byID[c.params["id"]] == nil {
		return missing("tweet", "id", c.params["id"])
	}
	return s.userPage(c, list(c.params["id"]))
}

func (s *Sim) usersOfUser(c *call, list func(string) []string) reply {
	if s.people.byID[c.params["id"]] == nil {
		return missing("user", "id", c.params["id"])
	}
	return s.userPage(c, list(c.params["id"]))
}

func (s *Sim) likedPosts(c *call) reply {
	if s.people.byID[c.params["id"]] == nil {
		return missing("user", "id", c.params["id"])
	}
	return s.postPage(c, s.postsOf(s.posts.likes.of(c.params["id"])))
}

// postsOf turns IDs into the posts that still exist.
func (s *Sim) postsOf(ids []string) []*post {
	var posts []*post
	for _, id := range ids {
		if p := s.posts.byID[id]; p != nil {
			posts = append(posts, p)
		}
	}
	return posts
}
