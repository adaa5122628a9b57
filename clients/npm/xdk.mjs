// xdk.mjs: X's own SDK. Its base URL is Perch's and its token an access token or a secret key of Perch; all else is as at X.

import { Client } from "@xdevplatform/xdk";
import { say, settings } from "./report.mjs";

const client = new Client({ baseUrl: settings.issuer, accessToken: settings.token });
const me = (await client.users.getMe()).data;
say("me", { username: me.username });
const post = (await client.posts.create({ text: settings.text })).data;
say("post", { text: post.text });
say("read", { text: (await client.posts.getById(post.id)).data.text });
say("like", { liked: (await client.users.likePost(me.id, { tweetId: post.id })).data.liked });
say("gone", { deleted: (await client.posts.delete(post.id)).data.deleted });
say("refused", { status: await client.posts.getById(post.id).then((r) => r.errors?.[0]?.title, (e) => e.status) });
