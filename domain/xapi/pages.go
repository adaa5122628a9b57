package xapi

// A Page is how many resources an action returns at most.
type Page struct {
	IDs  string // query parameter that lists what is wanted; empty: there is none
	Size int    // where max_results is not asked for: X's own, or the most where X does not say
	Most int    // that can be asked for
}

// PageOf returns how many resources the action returns at most, by X's OpenAPI
// description 2.167. Of an action that is not known here it is X's longest page.
func PageOf(a Action) Page {
	if p, ok := pages[a.ID]; ok {
		return p
	}
	return Page{Size: 1000, Most: 1000}
}

var pages = map[string]Page{
	"getCommunitiesById": upTo(1), "getDirectMessagesEventsById": upTo(1), "getListsById": upTo(1),
	"getSpacesById": upTo(1), "getPostsById": upTo(1), "getUsersByUsername": upTo(1), "getUsersMe": upTo(1),
	"getUsersById": upTo(1),

	"getSpacesByIds": named("ids"), "getPostsByIds": named("ids"), "getUsersByIds": named("ids"),

	"getUsersByUsernames": named("usernames"),

	"searchCommunities": {Size: 10, Most: 100}, "searchCommunityNotesWritten": {Size: 10, Most: 100},
	"searchPostsRecent": {Size: 10, Most: 100}, "getPostsQuotedPosts": {Size: 10, Most: 100},

	"searchPostsAll": {Size: 10, Most: 500},

	"searchUsers": {Size: 100, Most: 1000}, "getUsersMuting": {Size: 100, Most: 1000},

	"getDirectMessagesEvents": upTo(100), "getDirectMessagesEventsByConversationId": upTo(100),
	"getDirectMessagesEventsByParticipantId": upTo(100), "getListsFollowers": upTo(100),
	"getListsMembers": upTo(100), "getListsPosts": upTo(100), "getPostsLikingUsers": upTo(100),
	"getPostsReposts": upTo(100), "getPostsRepostedBy": upTo(100), "getSpacesByCreatorIds": upTo(100),
	"getSpacesBuyers": upTo(100), "getSpacesPosts": upTo(100), "getUsersBookmarks": upTo(100),
	"getUsersBookmarksByFolderId": upTo(100), "getUsersFollowedLists": upTo(100), "getUsersLikedPosts": upTo(100),
	"getUsersListMemberships": upTo(100), "getUsersMentions": upTo(100), "getUsersOwnedLists": upTo(100),
	"getUsersPinnedLists": upTo(100), "getUsersPosts": upTo(100), "getUsersRepostsOfMe": upTo(100),
	"getUsersTimeline": upTo(100), "searchSpaces": upTo(100),

	"getUsersAffiliates": upTo(1000), "getUsersBlocking": upTo(1000), "getUsersFollowers": upTo(1000),
	"getUsersFollowing": upTo(1000),
}

// upTo is a page of so many where nothing else is asked for.
func upTo(n int) Page { return Page{Size: n, Most: n} }

// named is a page of what the query parameter lists, a hundred at most.
func named(param string) Page { return Page{IDs: param, Size: 100, Most: 100} }
