// twitter-api-v2.mjs: an X client that knows nothing of Perch signs in through it. A plugin puts Perch where X was.

import http from "node:http";
import { TwitterApi } from "twitter-api-v2";
import { refusal } from "./journey.mjs";
import { say, settings } from "./report.mjs";
import { visit } from "./visitor.mjs";

const atPerch = (url) => {
  const from = new URL(url);
  return new URL(from.pathname + from.search, settings.issuer);
};
const plugin = {
  onBeforeRequest({ computedParams }) {
    computedParams.url = atPerch(computedParams.url);
  },
};
const options = { plugins: [plugin], httpAgent: new http.Agent() }; // Perch is on loopback, without TLS
const app = new TwitterApi({ clientId: settings.client_id, clientSecret: settings.secret_key }, options);

const link = app.generateOAuth2AuthLink(settings.redirect_uri, { scope: settings.scope.split(" ") });
const back = await visit(atPerch(link.url), settings.redirect_uri);
const code = back.searchParams.get("code");
say("back", { state: back.searchParams.get("state") === link.state });

const redirectUri = settings.redirect_uri;
const signedIn = await app.loginWithOAuth2({ code, redirectUri, codeVerifier: link.codeVerifier });
say("tokens", { expires_in: signedIn.expiresIn, scope: signedIn.scope.join(" ") });
say("me", { username: (await signedIn.client.v2.me()).data.username });
say("post", { text: (await signedIn.client.v2.tweet("From a client that thinks this is X.")).data.text });

const next = await app.refreshOAuth2Token(signedIn.refreshToken);
say("refreshed", { rotated: next.refreshToken !== signedIn.refreshToken, me: (await next.client.v2.me()).data.username });

say("revoked", {
  answer: await app.revokeOAuth2Token(next.accessToken),
  me: await next.client.v2.me().catch((error) => error.code),
  refresh: await refusal(() => app.refreshOAuth2Token(next.refreshToken)),
});
