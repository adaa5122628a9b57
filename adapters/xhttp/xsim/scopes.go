package xsim

// scopeWords says what a scope means, in words for the consent page; "" if X has no such scope.
func scopeWords(scope string) string { return scopeMeanings[scope] }

var scopeMeanings = map[string]string{
	"tweet.read":           "See posts you can see, including those of protected accounts",
	"tweet.write":          "Post and repost for you, and delete your posts",
	"tweet.moderate.write": "Hide and unhide replies to your posts",
	"users.read":           "See profiles of accounts you can see",
	"users.email":          "See your e-mail address",
	"follows.read":         "See whom you follow and who follows you",
	"follows.write":        "Follow and unfollow accounts for you",
	"offline.access":       "Stay connected until you revoke access",
	"space.read":           "See Spaces you can see",
	"mute.read":            "See accounts you have muted",
	"mute.write":           "Mute and unmute accounts for you",
	"like.read":            "See posts you have liked and likes you can see",
	"like.write":           "Like and unlike posts for you",
	"list.read":            "See your Lists, members and followers of Lists, including private ones",
	"list.write":           "Create and manage Lists for you",
	"block.read":           "See accounts you have blocked",
	"block.write":          "Block and unblock accounts for you",
	"bookmark.read":        "See your bookmarks",
	"bookmark.write":       "Add and remove bookmarks for you",
	"dm.read":              "Read your direct messages",
	"dm.write":             "Send and manage direct messages for you",
	"media.write":          "Upload media for you",
	"broadcast.read":       "See your broadcasts",
	"broadcast.write":      "Create and manage broadcasts for you",
	"timeline.read":        "See your timelines",
	"ads.read":             "See your advertising account",
	"ads.write":            "Manage your advertising account",
}
