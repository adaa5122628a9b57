package xsim

// Shapes are the data of replies the box keeps no state for, after X's OpenAPI
// description. See fill for what stands between angle brackets.

const (
	broadcastShape = `{"id":"<new>","broadcast_id":"<new>","title":"A broadcast","state":"Running","language":"en",` +
		`"created_at_ms":"<ms>","available_for_replay":true}`
	scheduledShape = `{"broadcast_id":"<new>","scheduled_broadcast_id":"<new>","title":"A broadcast",` +
		`"scheduled_start_ms":"<ms>","scheduled_end_ms":"<ms>","source_id":"1","available_for_replay":true}`
	chatShape = `{"id":"<new>","group_name":"A group","created_at":"<now>","is_muted":false,"member_ids":["<me>"],` +
		`"participant_ids":["<me>"],"admin_ids":["<me>"],"type":"group"}`
	communityShape = `{"id":"<new>","name":"A community","access":"Public","join_policy":"Open","member_count":1,` +
		`"created_at":"<now>","description":"Simulated"}`
	jobShape = `{"id":"<new>","type":"tweets","name":"<name>","status":"created","resumable":false,"created_at":"<now>",` +
		`"upload_url":"https://storage.example/upload","upload_expires_at":"<now>",` +
		`"download_url":"https://storage.example/download","download_expires_at":"<now>"}`
	spaceShape = `{"id":"1SimulatedSpace","state":"live","title":"A Space","creator_id":"<me>","host_ids":["<me>"],` +
		`"created_at":"<now>","lang":"en","is_ticketed":false,"participant_count":1}`
	newsShape = `{"id":"<new>","name":"Nothing happened","summary":"In the box it is quiet.","hook":"Quiet",` +
		`"category":"News","updated_at":"<now>","cluster_posts_results":[]}`
	keyShape          = `{"public_key":"c2ltdWxhdGVk","public_key_version":"1","signing_public_key":"c2ltdWxhdGVk"}`
	subscriptionShape = `{"subscription_id":"<new>","event_type":"profile.update.bio","filter":{"user_id":"<me>"},` +
		`"created_at":"<now>","updated_at":"<now>","tag":"<tag>"}`
	webhookShape = `{"id":"<new>","url":"https://hooks.example/x","valid":true,"created_at":"<now>"}`
)

var shapes = map[string]string{
	"getAccountActivitySubscriptionCount": `{"account_name":"simulated","provisioned_count":"3",` +
		`"subscriptions_count_all":"0","subscriptions_count_direct_messages":"0"}`,
	"validateAccountActivitySubscription": `{"subscribed":true}`,
	"createAccountActivitySubscription":   `{"subscribed":true}`,
	"getAccountActivitySubscriptions": `{"application_id":"27000001","webhook_id":"<webhook_id>",` +
		`"webhook_url":"https://hooks.example/x","subscriptions":[{"user_id":"<me>"}]}`,
	"deleteAccountActivitySubscription": `{"subscribed":false}`,

	"getActivitySubscriptions":   `[` + subscriptionShape + `]`,
	"createActivitySubscription": `{"subscription":` + subscriptionShape + `}`,
	"updateActivitySubscription": `{"subscription":` + subscriptionShape + `,"total_subscriptions":1}`,
	"deleteActivitySubscription": `{"deleted":true}`,

	"articleCreateDraft": `{"id":"<new>","title":"<title>"}`,
	"articlePublish":     `{"post_id":"<new>"}`,

	"listScheduledBroadcasts":    `[` + scheduledShape + `]`,
	"createScheduledBroadcast":   scheduledShape,
	"deleteScheduledBroadcast":   `{"deleted":true}`,
	"getScheduledBroadcast":      scheduledShape,
	"updateScheduledBroadcast":   scheduledShape,
	"goLiveScheduledBroadcast":   scheduledShape,
	"getBroadcast":               broadcastShape,
	"sendBroadcastChat":          `{"success":true,"timestamp":"<ms>"}`,
	"muteBroadcastChatUser":      `{"muted":true}`,
	"unmuteBroadcastChatUser":    `{"muted":false}`,
	"deleteBroadcastChatMessage": `{"deleted":true}`,

	"createChatConversation":    `{"conversation_id":"<new>","conversation_key_change_sequence_id":"1"}`,
	"initializeChatGroup":       `{"conversation_id":"<new>"}`,
	"getChatConversation":       chatShape,
	"addConversationKeys":       `{"conversation_id":"<id>","sequence_id":"1"}`,
	"addChatGroupMembers":       `{"sequence_id":"1"}`,
	"sendChatMessage":           `{"encoded_message_event":"c2ltdWxhdGVk"}`,
	"deleteChatMessages":        `{"deleted":true}`,
	"markChatConversationRead":  `{"success":true}`,
	"sendChatTypingIndicator":   `{"success":true}`,
	"chatMediaUploadInitialize": `{"conversation_id":"<conversation_id>","media_hash_key":"key","session_id":"<new>"}`,
	"chatMediaUploadFinalize":   `{"success":true}`,

	"getCommunitiesById":    communityShape,
	"createComplianceJobs":  jobShape,
	"getComplianceJobsById": jobShape,

	"getMediaAnalytics":        `[{"media_key":"3_1","video_views":0,"playback_start":0,"playback_complete":0}]`,
	"getPostsAnalytics":        `[{"id":"1","impressions":0,"likes":0,"engagements":0,"timestamp":"<now>"}]`,
	"getNews":                  newsShape,
	"createCommunityNotes":     `{"id":"<new>"}`,
	"evaluateCommunityNotes":   `{"claim_opinion_score":0.5}`,
	"deleteCommunityNotes":     `{"deleted":true}`,
	"getSpacesByIds":           `[` + spaceShape + `]`,
	"getSpacesById":            spaceShape,
	"getTrendsByWoeid":         `[{"trend_name":"#simulated","tweet_count":1}]`,
	"getUsersPublicKeys":       `[` + keyShape + `]`,
	"getUsersPublicKey":        `[` + keyShape + `]`,
	"addUserPublicKey":         `{"public_key_version":"1","juicebox_config":{}}`,
	"getWebhooksStreamLinks":   `[{"webhook_id":"1","application_id":"27000001","instance_id":"1","created_at":"<now>"}]`,
	"createWebhooksStreamLink": `{"provisioned":true}`,
	"deleteWebhooksStreamLink": `{"deleted":true}`,
	"getUsage": `{"cap_reset_day":<day>,"project_cap":"3000000","project_id":"1","project_usage":"0",` +
		`"daily_project_usage":{"project_id":"1","usage":[]},"daily_client_app_usage":[]}`,
	"getTrendsPersonalizedTrends": `[{"trend_name":"#simulated","category":"Technology","post_count":"1 post",` +
		`"trending_since":"an hour ago"}]`,

	"createWebhooks":         `{"id":"<new>","url":"<url>","valid":true,"created_at":"<now>"}`,
	"createWebhookReplayJob": `{"job_id":"<new>","created_at":"<now>"}`,
	"deleteWebhooks":         `{"deleted":true}`,
	"validateWebhooks":       `{"valid":true}`,
}

// PagedShapes are those with a meta object.
var pagedShapes = map[string]string{
	"deleteActivitySubscriptionsByIds": `[{"subscription_id":"1","deleted":true}]`,
	"listBroadcasts":                   `[` + broadcastShape + `]`,
	"getBroadcastChat": `[{"id":"<new>","broadcast_id":"<id>","author_id":"<me>","text":"Hello",` +
		`"created_at_ms":"<ms>"}]`,
	"getChatConversations": `[` + chatShape + `]`,
	"getChatConversationEvents": `[{"id":"<new>","conversation_id":"<id>","sender_id":"<me>","created_at":"<now>",` +
		`"encoded_event":"c2ltdWxhdGVk"}]`,
	"searchCommunities": `[` + communityShape + `]`,
	"getComplianceJobs": `[` + jobShape + `]`,
	"searchNews":        `[` + newsShape + `]`,
	"searchCommunityNotesWritten": `[{"id":"<new>","info":{"post_id":"1","text":"A note",` +
		`"classification":"not_misleading"}}]`,
	"searchEligiblePosts":   `[{"id":"<new>","text":"A post that may need a note"}]`,
	"getSpacesByCreatorIds": `[` + spaceShape + `]`,
	"searchSpaces":          `[` + spaceShape + `]`,
	"getSpacesBuyers":       `[{"id":"<me>","name":"A buyer","username":"buyer"}]`,
	"getSpacesPosts":        `[{"id":"<new>","text":"A post about a Space"}]`,
	"getUsersAffiliates":    `[{"id":"<me>","name":"An affiliate","username":"affiliate"}]`,
	"getWebhooks":           `[` + webhookShape + `]`,
}

// endpointName is what the Connections API calls a stream.
func endpointName(action string) string {
	if name, ok := endpointNames[action]; ok {
		return name
	}
	return action
}

var endpointNames = map[string]string{
	"streamPosts": "filtered_stream", "streamPostsSample": "sample_stream", "streamPostsSample10": "sample10_stream",
	"streamPostsFirehose": "firehose_stream", "streamPostsCompliance": "tweets_compliance_stream",
	"streamUsersCompliance": "users_compliance_stream", "streamLabelsCompliance": "tweet_label_stream",
	"streamPostsFirehoseEn": "firehose_stream_lang_en", "streamPostsFirehoseJa": "firehose_stream_lang_ja",
	"streamPostsFirehoseKo": "firehose_stream_lang_ko", "streamPostsFirehosePt": "firehose_stream_lang_pt",
	"streamLikesFirehose": "likes_firehose_stream", "streamLikesSample10": "likes_sample10_stream",
	"streamLikesCompliance": "likes_compliance_stream",
}
