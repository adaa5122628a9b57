// perch.js: sign people in with X through Perch, and call X API v2 for them.
// It needs nothing else; copy this file into your frontend.
//
//   const perch = new Perch({ baseUrl, clientId, redirectUri });
//   const back = await perch.handleCallback();    // on every page load; null if there is nothing to do
//   if (!(await perch.restore())) button.onclick = () => perch.connect(["tweet.read", "users.read"]);
//   else await perch.fetch("/2/users/me");        // any path of X API v2, and Perch's own below /v1/
//
// Where the tokens are. Both are Perch's; X's never leave Perch. The access token (ten minutes) is kept
// in memory only. The refresh token is kept in sessionStorage, so that a reload does not sign people out:
// it lives as long as the tab, and other sites cannot read it. A script injected into your page could,
// so send a strict Content-Security-Policy. Each refresh token is followed by the next, and using one that
// is older than the last two ends the session, so a stolen copy is noticed once it falls behind. If you do not want it in storage at all, keep it in a field
// instead: then a reload means to connect again, which X answers without asking if it has been allowed.

const EARLY = 30_000; // milliseconds before expiry at which a new access token is fetched

/** What went wrong, from the problem document (RFC 9457) of Perch or X. Status 0: nobody answered. */
export class PerchError extends Error {
  constructor({ status = 0, type = "about:blank", title = "Error", detail = "", retryAfter = null, problem = null }) {
    super(detail || title);
    Object.assign(this, { name: "PerchError", status, type, title, detail, retryAfter, problem });
  }

  static async from(response) {
    const text = await response.text().catch(() => "");
    let body = null;
    try { body = JSON.parse(text); } catch { /* a proxy on the way may answer in HTML */ }
    const old = body?.errors?.[0]; // X's older envelope
    const seconds = Number.parseInt(response.headers.get("Retry-After") ?? "", 10);
    return new PerchError({
      status: response.status,
      type: body?.type,
      title: body?.title ?? body?.error ?? "The request failed",
      detail: body?.detail ?? body?.error_description ?? old?.message ?? `The server answered ${response.status}.`,
      retryAfter: Number.isNaN(seconds) ? null : seconds,
      problem: body,
    });
  }
}

export class Perch {
  #base; #client; #redirect; #channel;
  #access = null;     // { token, expires, grant, scopes }
  #refreshing = null; // the refresh under way, if any

  constructor({ baseUrl, clientId, redirectUri }) {
    this.#base = baseUrl.replace(/\/+$/, "");
    this.#client = clientId;
    this.#redirect = redirectUri;
    // A duplicated tab starts with a copy of sessionStorage, so two tabs can share one session.
    // Whoever refreshes tells the others, for an old refresh token would end it for all.
    this.#channel = new BroadcastChannel(this.#key("refresh"));
    this.#channel.onmessage = ({ data }) => { if (this.#refresh === data.old) this.#refresh = data.next; };
  }

  /** Whether somebody is signed in in this tab. */
  get signedIn() { return this.#refresh !== null; }

  /** What is known of the session, without its tokens: { grant, scopes, expires }, or null. */
  get session() {
    return this.#access && (({ grant, scopes, expires }) => ({ grant, scopes, expires }))(this.#access);
  }

  /** Sends the browser to X, by way of Perch, to ask for the scopes. It comes back to redirectUri. */
  async connect(scopes) {
    const state = random(), verifier = random(); // state ties the answer to this tab, the verifier the code (PKCE)
    sessionStorage.setItem(this.#key("pending"), JSON.stringify({ state, verifier }));
    const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
    location.assign(`${this.#base}/oauth/authorize?${new URLSearchParams({
      response_type: "code", client_id: this.#client, redirect_uri: this.#redirect, scope: scopes.join(" "),
      state, code_challenge: base64url(digest), code_challenge_method: "S256",
    })}`);
  }

  /** Finishes a sign-in if the page was opened by one: { ok: true }, { error, description }, or null if not. */
  async handleCallback() {
    const url = new URL(location.href), q = new URLSearchParams(url.search);
    if (!q.has("state") || !(q.has("code") || q.has("error"))) return null;
    const pending = JSON.parse(sessionStorage.getItem(this.#key("pending")) ?? "null");
    sessionStorage.removeItem(this.#key("pending"));
    for (const name of ["code", "state", "iss", "error", "error_description"]) url.searchParams.delete(name);
    history.replaceState(null, "", url); // the code is not for the history, nor for a second try

    if (pending?.state !== q.get("state")) {
      return { error: "invalid_state", description: "This answer does not belong to a sign-in of this tab." };
    }
    if (q.get("iss") !== this.#base) { // RFC 9207: an answer of another server must not be exchanged here
      return { error: "invalid_issuer", description: "This answer came from a server that was not asked." };
    }
    if (q.has("error")) return { error: q.get("error"), description: q.get("error_description") ?? "" };
    try {
      await this.#exchange({
        grant_type: "authorization_code", code: q.get("code"), redirect_uri: this.#redirect,
        code_verifier: pending.verifier,
      });
      return { ok: true };
    } catch (error) {
      return { error: error.problem?.error ?? error.type, description: error.detail };
    }
  }

  /** Takes up the session of this tab, if there is one. Throws only if Perch cannot be asked. */
  async restore() {
    try {
      if (this.signedIn) await this.#token();
    } catch (error) {
      if (this.signedIn) throw error;
    }
    return this.signedIn;
  }

  /** fetch with the access token, renewed in time. Resolves to a good response; throws a PerchError otherwise. */
  async fetch(path, init = {}) {
    // The token must go to Perch only.
    if (!path.startsWith("/")) throw new TypeError("perch.fetch takes a path that begins with /");
    const call = (token) => {
      const headers = new Headers(init.headers);
      headers.set("Authorization", `Bearer ${token}`);
      return send(`${this.#base}${path}`, { ...init, headers });
    };
    const token = await this.#token();
    let response = await call(token);
    if (response.status === 401 && !(init.body instanceof ReadableStream)) { // refused, so nothing has happened yet
      await response.text();
      response = await call(await this.#token(token));
    }
    if (!response.ok) throw await PerchError.from(response);
    return response;
  }

  /** Ends the session. The permission at X stays, so connecting again is quick. */
  async signOut() {
    await this.#refreshing?.catch(() => {});
    const token = this.#refresh;
    this.#forget(); // first, so that this tab is signed out even if Perch cannot be told
    if (!token) return;
    const body = new URLSearchParams({ client_id: this.#client, token, token_type_hint: "refresh_token" });
    const response = await send(`${this.#base}/oauth/revoke`, { method: "POST", body });
    if (!response.ok) throw await PerchError.from(response);
    await response.text(); // a response that is not read keeps its connection
  }

  /** Ends the permission itself: Perch forgets X's tokens and tells X, and the session ends. */
  async disconnect() {
    await this.#token();
    const response = await this.fetch(`/v1/grants/${encodeURIComponent(this.#access.grant)}`, { method: "DELETE" });
    await response.text();
    await this.signOut();
  }

  /** A good access token, other than the stale one. */
  async #token(stale = null) {
    const a = this.#access;
    if (a && a.token !== stale && Date.now() < a.expires - EARLY) return a.token;
    this.#refreshing ??= this.#renew().finally(() => { this.#refreshing = null; });
    return this.#refreshing; // all callers wait for the same one
  }

  #renew() {
    return exclusive(this.#key("refresh"), async () => {
      const old = this.#refresh;
      if (!old) throw new PerchError({ status: 401, title: "Signed out", detail: "Nobody is signed in here." });
      try {
        const { token } = await this.#exchange({ grant_type: "refresh_token", refresh_token: old });
        this.#channel.postMessage({ old, next: this.#refresh });
        return token;
      } catch (error) {
        if (error.problem?.error === "invalid_grant") this.#forget(); // ended; anything else may pass, so keep it
        throw error;
      }
    });
  }

  async #exchange(fields) {
    const body = new URLSearchParams({ client_id: this.#client, ...fields }); // sent form-encoded, as OAuth wants
    const response = await send(`${this.#base}/oauth/token`, { method: "POST", body });
    if (!response.ok) throw await PerchError.from(response);
    const t = await response.json();
    this.#access = {
      token: t.access_token, expires: Date.now() + t.expires_in * 1000, grant: t.grant_id,
      scopes: (t.scope ?? "").split(" ").filter(Boolean),
    };
    if (t.refresh_token) this.#refresh = t.refresh_token;
    return this.#access;
  }

  #forget() {
    this.#access = null;
    sessionStorage.removeItem(this.#key("refresh"));
  }

  get #refresh() { return sessionStorage.getItem(this.#key("refresh")); }
  set #refresh(token) { sessionStorage.setItem(this.#key("refresh"), token); }
  #key(what) { return `perch:${this.#client}:${what}`; }
}

/** fetch that sends no cookies and no referrer, and whose failures are PerchErrors too. */
async function send(url, init) {
  try {
    return await fetch(url, { cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer", ...init });
  } catch (cause) {
    if (cause.name === "AbortError") throw cause;
    throw new PerchError({
      type: "network", title: "No answer", detail: "Perch did not answer. Check the connection and try again.",
    });
  }
}

/** Runs work while no other tab of this origin does, where the browser can tell. */
function exclusive(name, work) {
  return navigator.locks ? navigator.locks.request(name, work) : work();
}

const random = () => base64url(crypto.getRandomValues(new Uint8Array(32)));

const base64url = (bytes) =>
  btoa(String.fromCharCode(...new Uint8Array(bytes))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
