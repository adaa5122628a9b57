package xsim

import (
	"encoding/base32"
	"strconv"
	"strings"
)

// A pageSize is what X allows and assumes for max_results.
type pageSize struct{ least, most, usual int }

var pageSizes = map[string]pageSize{
	"searchPostsAll": {10, 500, 10}, "searchPostsRecent": {10, 100, 10}, "getPostsQuotedPosts": {10, 100, 10},
	"getUsersPosts": {5, 100, 10}, "getUsersMentions": {5, 100, 10}, "getUsersLikedPosts": {5, 100, 100},
	"getUsersFollowers": {1, 1000, 100}, "getUsersFollowing": {1, 1000, 100}, "getUsersMuting": {1, 1000, 100},
	"searchUsers": {1, 1000, 100}, "getRules": {1, 1000, 1000},
}

// page cuts one page out of all, as max_results and the token of the query
// say, and returns it with the meta object that belongs to it.
func page[T any](c *call, all []T) ([]T, object, reply, bool) {
	size, ok := pageSizes[c.act.ID]
	if !ok {
		size = pageSize{1, 100, 100}
	}
	n := size.usual
	if asked := c.query.Get("max_results"); asked != "" {
		v, err := strconv.Atoi(asked)
		if err != nil || v < size.least || v > size.most {
			return nil, nil, invalid(param{"max_results", asked, "The `max_results` query parameter value [" + asked +
				"] is not between " + strconv.Itoa(size.least) + " and " + strconv.Itoa(size.most)}), false
		}
		n = v
	}
	from, name := 0, ""
	for _, name = range []string{"pagination_token", "next_token"} {
		token := c.query.Get(name)
		if token == "" {
			continue
		}
		if from, ok = offset(token); !ok {
			return nil, nil, invalid(param{name, token, "The `" + name + "` query parameter value is not valid"}), false
		}
		break
	}
	from = min(from, len(all))
	to := min(from+n, len(all))
	meta := object{"result_count": to - from}
	if to < len(all) {
		meta["next_token"] = pageToken(to)
	}
	if from > 0 {
		meta["previous_token"] = pageToken(max(0, from-n))
	}
	return all[from:to], meta, reply{}, true
}

var tokenLetters = base32.StdEncoding.WithPadding(base32.NoPadding)

func pageToken(at int) string {
	return strings.ToLower(tokenLetters.EncodeToString([]byte("page:" + strconv.Itoa(at))))
}

func offset(token string) (int, bool) {
	raw, err := tokenLetters.DecodeString(strings.ToUpper(token))
	if err != nil {
		return 0, false
	}
	digits, ok := strings.CutPrefix(string(raw), "page:")
	if !ok {
		return 0, false
	}
	at, err := strconv.Atoi(digits)
	return at, err == nil && at >= 0
}

// userPage is a page of users by their IDs.
func (s *Sim) userPage(c *call, ids []string) reply {
	some, meta, refusal, ok := page(c, ids)
	if !ok {
		return refusal
	}
	var users []object
	for _, id := range some {
		if p := s.people.byID[id]; p != nil {
			users = append(users, s.userView(c, p))
		}
	}
	return paged(users, meta, nil)
}

// postPage is a page of posts, newest first, with what they refer to.
func (s *Sim) postPage(c *call, posts []*post) reply {
	some, meta, refusal, ok := page(c, posts)
	if !ok {
		return refusal
	}
	var views []object
	for _, p := range some {
		views = append(views, s.postView(c.authored(), p))
	}
	if len(some) > 0 {
		meta["newest_id"], meta["oldest_id"] = some[0].id, some[len(some)-1].id
	}
	return paged(views, meta, s.includes(c, some))
}

// paged leaves out what is empty, as X does.
func paged(items []object, meta, includes object) reply {
	body := object{"meta": meta}
	if len(items) > 0 {
		body["data"] = items
	}
	if len(includes) > 0 {
		body["includes"] = includes
	}
	return reply{body: body}
}
