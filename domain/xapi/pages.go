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
	"getCommunitiesById": one, "getDirectMessagesEventsById": one, "getListsById": one, "getSpacesById": one,
	"getPostsById": one, "getUsersByUsername": one, "getUsersMe": one, "getUsersById": one,

	"getSpacesByIds": named("ids"), "getPostsByIds": named("ids"), "getUsersByIds": named("ids"),
	"getUsersByUsernames": named("usernames"),

	"searchCommunities": {Size: 10, Most: 100}, "searchCommunityNotesWritten": {Size: 10, Most: 100},
	"searchPostsRecent": {Size: 10, Most: 100}, "getPostsQuotedPosts": {Size: 10, Most: 100},
	"searchPostsAll": {Size: 10, Most: 500},
	"searchUsers":    {Size: 100, Most: 1000}, "getUsersMuting": {Size: 100, Most: 1000},

	"getDirectMessagesEvents": hundred, "getDirectMessagesEventsByConversationId": hundred,
	"getDirectMessagesEventsByParticipantId": hundred, "getListsFollowers": hundred, "getListsMembers": hundred,
	"getListsPosts": hundred, "getPostsLikingUsers": hundred, "getPostsReposts": hundred, "getPostsRepostedBy": hundred,
	"getSpacesByCreatorIds": hundred, "getSpacesBuyers": hundred, "getSpacesPosts": hundred, "getUsersBookmarks": hundred,
	"getUsersBookmarksByFolderId": hundred, "getUsersFollowedLists": hundred, "getUsersLikedPosts": hundred,
	"getUsersListMemberships": hundred, "getUsersMentions": hundred, "getUsersOwnedLists": hundred,
	"getUsersPinnedLists": hundred, "getUsersPosts": hundred, "getUsersRepostsOfMe": hundred, "getUsersTimeline": hundred,
	"searchSpaces": hundred,

	"getUsersAffiliates": thousand, "getUsersBlocking": thousand, "getUsersFollowers": thousand,
	"getUsersFollowing": thousand,
}

var (
	one      = Page{Size: 1, Most: 1}
	hundred  = Page{Size: 100, Most: 100}
	thousand = Page{Size: 1000, Most: 1000}
)

// named is a page of what the query parameter lists, a hundred at most.
func named(param string) Page { return Page{IDs: param, Size: 100, Most: 100} }
