package xsim

import "slices"

// A folder holds some of a user's bookmarks.
type folder struct {
	id, owner, name string
	posts           []string
}

func bookmarkRoutes() map[string]handler {
	return map[string]handler{
		"getUsersBookmarks":           (*Sim).bookmarks,
		"createUsersBookmark":         (*Sim).bookmark,
		"deleteUsersBookmark":         (*Sim).unbookmark,
		"getUsersBookmarkFolders":     (*Sim).bookmarkFolders,
		"createUsersBookmarkFolder":   (*Sim).createFolder,
		"getUsersBookmarksByFolderId": (*Sim).folderBookmarks,
	}
}

func (s *Sim) bookmarks(c *call) reply {
	return s.postPage(c, s.postsOf(s.posts.bookmarks.of(c.user())))
}

func (s *Sim) bookmark(c *call) reply {
	p, refusal, ok := s.postIn(c, "tweet_id")
	if !ok {
		return refusal
	}
	if id := c.text("folder_id"); id != "" {
		f := s.folderOf(c, id)
		if f == nil {
			return notFound("bookmark_folder", "folder_id", id)
		}
		if !slices.Contains(f.posts, p.id) {
			f.posts = append(f.posts, p.id)
		}
	}
	s.pair(c, &s.posts.bookmarks, true, "bookmark", c.user(), p.id)
	return data(object{"bookmarked": true})
}

func (s *Sim) unbookmark(c *call) reply {
	s.pair(c, &s.posts.bookmarks, false, "bookmark", c.user(), c.params["tweet_id"])
	for _, f := range s.posts.folders {
		if f.owner == c.user() {
			f.posts = without(f.posts, c.params["tweet_id"])
		}
	}
	return data(object{"bookmarked": false})
}

func (s *Sim) folderOf(c *call, id string) *folder {
	f := s.posts.folders[id]
	if f == nil || f.owner != c.user() {
		return nil
	}
	return f
}

func (s *Sim) createFolder(c *call) reply {
	name := c.text("name")
	if name == "" {
		return needed("name")
	}
	f := &folder{id: s.newID(), owner: c.user(), name: name}
	s.posts.folders[f.id] = f
	s.noteBy(c, "bookmark_folder.created", f.id, nil)
	return data(object{"id": f.id, "name": f.name})
}

func (s *Sim) bookmarkFolders(c *call) reply {
	var mine []*folder
	for _, f := range s.posts.folders {
		if f.owner == c.user() {
			mine = append(mine, f)
		}
	}
	slices.SortFunc(mine, func(a, b *folder) int {
		if later(a.id, b.id) {
			return -1
		}
		return 1
	})
	some, meta, refusal, ok := page(c, mine)
	if !ok {
		return refusal
	}
	var views []object
	for _, f := range some {
		views = append(views, object{"id": f.id, "name": f.name})
	}
	return paged(views, meta, nil)
}

func (s *Sim) folderBookmarks(c *call) reply {
	f := s.folderOf(c, c.params["folder_id"])
	if f == nil {
		return missing("bookmark_folder", "folder_id", c.params["folder_id"])
	}
	some, meta, refusal, ok := page(c, reversed(f.posts))
	if !ok {
		return refusal
	}
	var views []object
	for _, id := range some {
		views = append(views, object{"id": id})
	}
	return paged(views, meta, nil)
}
