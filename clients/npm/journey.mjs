// journey.mjs: a sign-in with oauth4webapi from discovery to revocation, the same in Node and in a page.
//
// A journey is { oauth, settings, say, keys }: the library, what is known of Perch, how to tell what is seen, and the key
// pair for DPoP, if tokens are to be bound to one.

// leave says where the browser must go, and what must be remembered until it is back.
export async function leave(j) {
  const { oauth, settings, say } = j;
  const server = await discover(j);
  say("discovery", {
    issuer: server.issuer === settings.issuer,
    pkce: server.code_challenge_methods_supported,
    names_issuer: server.authorization_response_iss_parameter_supported,
  });
  const verifier = oauth.generateRandomCodeVerifier();
  const state = oauth.generateRandomState();
  const url = new URL(server.authorization_endpoint);
  for (const [name, value] of Object.entries({
    response_type: "code", client_id: settings.client_id, redirect_uri: settings.redirect_uri, scope: settings.scope, state,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier), code_challenge_method: "S256",
    ...(j.keys && { dpop_jkt: await oauth.DPoP({}, j.keys).calculateThumbprint() }),
  })) url.searchParams.set(name, value);
  return { url: url.href, verifier, state };
}

// arrive goes on where the browser has come back to.
export async function arrive(j, url, { verifier, state }) {
  const { oauth, settings, say } = j;
  const server = await discover(j);
  const caller = callerOf(j, server);
  const callback = oauth.validateAuthResponse(server, caller.client, new URL(url), state);
  say("mix-up", {
    refused: await refusal(() => oauth.validateAuthResponse({ ...server, issuer: "https://evil.example" }, caller.client,
      new URL(url), state)),
  });

  const tokens = await caller.token(async (options) => oauth.processAuthorizationCodeResponse(server, caller.client,
    await oauth.authorizationCodeGrantRequest(server, caller.client, caller.auth, callback, settings.redirect_uri, verifier,
      options)));
  say("tokens", { type: tokens.token_type, expires_in: tokens.expires_in, scope: tokens.scope, grant: "grant_id" in tokens });
  say("me", await caller.me(tokens.access_token));
  if (j.keys) say("bound", { nonces_wanted: caller.counts.nonces, ...(await stolen(j, caller, tokens.access_token)) });

  const refresh = (token) => caller.token(async (options) => oauth.processRefreshTokenResponse(server, caller.client,
    await oauth.refreshTokenGrantRequest(server, caller.client, caller.auth, token, options)));
  const next = await refresh(tokens.refresh_token);
  say("refreshed", { type: next.token_type, rotated: next.refresh_token !== tokens.refresh_token,
    renewed: next.access_token !== tokens.access_token });
  say("me", await caller.me(next.access_token));

  await oauth.processRevocationResponse(await oauth.revocationRequest(server, caller.client, caller.auth, next.refresh_token,
    plainly(oauth)));
  say("revoked", { me: (await caller.me(next.access_token)).status, refresh: await refusal(() => refresh(next.refresh_token)) });
}

async function discover({ oauth, settings }) {
  const issuer = new URL(settings.issuer);
  const response = await oauth.discoveryRequest(issuer, { algorithm: "oauth2", ...plainly(oauth) });
  return oauth.processDiscoveryResponse(issuer, response);
}

// plainly lets the library speak plain HTTP, as Perch does on loopback.
function plainly(oauth) {
  return { [oauth.allowInsecureRequests]: true };
}

// callerOf knows how this client names itself, and signs a proof for each call if it has a key. A call that is refused for
// want of a nonce is made once more: the library has kept the nonce that came with the refusal.
function callerOf({ oauth, settings, keys }, server) {
  const client = { client_id: settings.client_id };
  const auth = settings.secret_key ? oauth.ClientSecretBasic(settings.secret_key) : oauth.None();
  const DPoP = keys ? oauth.DPoP(client, keys) : undefined;
  const options = { ...plainly(oauth), DPoP };
  const counts = { nonces: 0 };
  const twice = async (call) => {
    try {
      return await call(options);
    } catch (error) {
      if (!oauth.isDPoPNonceError(error)) throw error;
      counts.nonces++;
      return await call(options);
    }
  };
  const me = async (access) => {
    const url = new URL("/2/users/me", settings.issuer);
    try {
      const response = await twice((o) => oauth.protectedResourceRequest(access, "GET", url, undefined, undefined, o));
      return { status: response.status, username: (await response.json()).data?.username };
    } catch (error) {
      if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
      return { status: error.status, error: error.cause[0].parameters.error };
    }
  };
  return { client, auth, server, counts, token: twice, me };
}

// stolen uses an access token without its key: as a plain bearer, and with a key of the thief's own.
async function stolen(j, caller, access) {
  const bearer = await fetch(new URL("/2/users/me", j.settings.issuer), { headers: { authorization: `Bearer ${access}` } });
  const other = callerOf({ ...j, keys: await j.oauth.generateKeyPair("ES256") }, caller.server);
  return { bearer: bearer.status, other_key: (await other.me(access)).status };
}

// refusal performs what must be refused and names the refusal: by OAuth's error, or the library's code.
export async function refusal(attempt) {
  try {
    await attempt();
  } catch (error) {
    return [error.error, error.data?.error, error.code].find((name) => typeof name === "string") ?? String(error);
  }
  return "not refused";
}
