package cloudflare

import "time"

// FollowPatiently has writes wait for KV as long as a busy machine may hold it up.
func (kv *KV) FollowPatiently() { kv.followFor = time.Minute }
