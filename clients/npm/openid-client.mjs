// openid-client.mjs: openid-client in Node, from discovery to revocation. It makes calls that want a nonce again by itself.

import * as client from "openid-client";
import { refusal } from "./journey.mjs";
import { say, settings } from "./report.mjs";
import { visit } from "./visitor.mjs";

const server = new URL(settings.issuer);
const auth = settings.secret_key ? client.ClientSecretPost(settings.secret_key) : client.None();
let nonces = 0;
const config = await client.discovery(server, settings.client_id, undefined, auth, {
  algorithm: "oauth2", execute: [client.allowInsecureRequests], // Perch is on loopback
  [client.customFetch]: async (...call) => {
    const response = await fetch(...call);
    if (!response.ok && response.headers.has("dpop-nonce")) nonces++;
    return response;
  },
});
const known = config.serverMetadata();
say("discovery", {
  issuer: known.issuer === settings.issuer, pkce: known.code_challenge_methods_supported,
  names_issuer: known.authorization_response_iss_parameter_supported,
});

const keys = settings.dpop && (await client.randomDPoPKeyPair("ES256"));
const DPoP = keys && client.getDPoPHandle(config, keys);
const verifier = client.randomPKCECodeVerifier();
const state = client.randomState();
const begin = client.buildAuthorizationUrl(config, {
  redirect_uri: settings.redirect_uri, scope: settings.scope, state,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
  ...(DPoP && { dpop_jkt: await DPoP.calculateThumbprint() }),
});
const back = await visit(begin, settings.redirect_uri);

const elsewhere = new URL(back);
elsewhere.searchParams.set("iss", "https://evil.example");
const exchange = (url) => client.authorizationCodeGrant(config, url, { pkceCodeVerifier: verifier, expectedState: state },
  undefined, { DPoP });
say("mix-up", { refused: await refusal(() => exchange(elsewhere)) });

const tokens = await exchange(back);
say("tokens", { type: tokens.token_type, expires_in: tokens.expires_in, scope: tokens.scope, grant: "grant_id" in tokens });
say("me", await me(tokens.access_token, DPoP));
if (DPoP) {
  const other = client.getDPoPHandle(config, await client.randomDPoPKeyPair("ES256"));
  say("bound", {
    nonces_wanted: nonces, bearer: (await me(tokens.access_token)).status, other_key: (await me(tokens.access_token, other)).status,
  });
}

const next = await client.refreshTokenGrant(config, tokens.refresh_token, undefined, { DPoP });
say("refreshed", {
  type: next.token_type, rotated: next.refresh_token !== tokens.refresh_token,
  renewed: next.access_token !== tokens.access_token,
});
say("me", await me(next.access_token, DPoP));

await client.tokenRevocation(config, next.refresh_token);
say("revoked", {
  me: (await me(next.access_token, DPoP)).status,
  refresh: await refusal(() => client.refreshTokenGrant(config, next.refresh_token, undefined, { DPoP })),
});

async function me(access, handle) {
  const url = new URL("/2/users/me", server);
  try {
    const options = handle && { DPoP: handle };
    const response = await client.fetchProtectedResource(config, access, url, "GET", undefined, undefined, options);
    return { status: response.status, username: (await response.json()).data?.username };
  } catch (error) {
    if (!(error instanceof client.WWWAuthenticateChallengeError)) throw error;
    return { status: error.status, error: error.cause[0].parameters.error };
  }
}
