// app.js: the demo page. It shows one of four views (loading, trouble, welcome, home) and calls X API v2
// through perch.js. Text from X enters the page as textContent only.

import { Perch, PerchError } from "./perch.js";
import { card, counted, initials } from "./cards.js";

const SCOPES = ["tweet.read", "tweet.write", "users.read", "like.read", "like.write", "offline.access"];

const $ = (selector) => document.querySelector(selector);
const said = new Map(); // the texts of posts by ID, to show what a reply is to
let perch, me;

start();

async function start() {
  show("loading");
  try {
    const config = await settings();
    $("[data-simulated]").hidden = !config.simulator_url;
    perch = new Perch({ baseUrl: config.base_url, clientId: config.client_id, redirectUri: `${location.origin}/` });
    const back = await perch.handleCallback();
    if (await perch.restore()) await home();
    else welcome(back?.error && sentence(back));
  } catch (error) {
    trouble(error);
  }
}

async function settings() {
  const response = await fetch("config.json").catch(() => null);
  const config = response?.ok ? await response.json().catch(() => null) : null;
  if (config?.base_url && config.client_id) return config;
  throw new PerchError({
    status: 404, title: "No settings",
    detail: "Put config.json beside this page: " +
      '{"base_url": "https://perch.example", "client_id": "pk_…"}, with the address of Perch and a publishable key.',
  });
}

// sentence is what to say when a sign-in comes back with an error.
function sentence({ error, description }) {
  if (error === "access_denied") {
    return "You did not allow access. Nothing was stored, and you can try again whenever you like.";
  }
  return `The sign-in did not work: ${description || error}`;
}

// --- Views

function show(view) {
  for (const section of document.querySelectorAll("[data-view]")) section.hidden = section.dataset.view !== view;
}

function say(text, tone = "plain") {
  const status = $("#status");
  status.textContent = text;
  status.dataset.tone = tone;
}

function welcome(message) {
  me = null;
  show("welcome");
  $("#connect").textContent = message ? "Try again with X" : "Connect with X";
  if (message) say(message, "warning");
}

// trouble is for when there is nothing to show: nobody answered, or the answer was no.
function trouble(error) {
  show("trouble");
  const answered = error.status > 0;
  $("#trouble-title").textContent = answered ? error.title : "Perch does not answer";
  $("#trouble-detail").textContent = answered ? error.detail
    : "This page is fine, but it cannot reach the server it works with. If you were signed in, you still are.";
  $("#reconnect").hidden = !(answered && error.status < 500 && perch?.signedIn); // a permission ended at X, say
  if (!(error instanceof PerchError)) throw error;
}

async function home() {
  const { data } = await api("GET", "/2/users/me?user.fields=public_metrics");
  me = data;
  $("#me .name").textContent = me.name;
  $("#me .handle").textContent = `@${me.username}`;
  $("#me .face").textContent = initials(me.name); // the page loads nothing from elsewhere, pictures included
  for (const dd of document.querySelectorAll("[data-metric]")) {
    dd.textContent = (me.public_metrics?.[dd.dataset.metric] ?? 0).toLocaleString();
  }
  await timeline();
  counted($("#compose"), $("#counter"));
  inventory();
  show("home");
}

async function timeline() {
  const fields = "tweet.fields=created_at,public_metrics,referenced_tweets";
  const [posts, liked] = await Promise.all([
    api("GET", `/2/users/${me.id}/tweets?max_results=50&${fields}`),
    // X does not say with a post whether you like it, so ask what you like. Do without if that fails.
    api("GET", `/2/users/${me.id}/liked_tweets?max_results=100`).catch(() => ({})),
  ]);
  const likes = new Set((liked.data ?? []).map((post) => post.id));
  for (const { id, text } of posts.data ?? []) said.set(id, text);
  $("#posts").replaceChildren(...(posts.data ?? []).map((p) => card(p, { me, said, liked: likes.has(p.id) }, act)));
  settle();
}

// settle shows the empty state if there is nothing else to show.
function settle() { $("#empty").hidden = $("#posts").children.length > 0; }

function count(metric, by) {
  const dd = $(`[data-metric="${metric}"]`);
  me.public_metrics = { ...me.public_metrics, [metric]: Math.max(0, (me.public_metrics?.[metric] ?? 0) + by) };
  dd.textContent = me.public_metrics[metric].toLocaleString();
}

// --- What can be done. Each returns X's data.

async function api(method, path, body) {
  const init = { method };
  if (body) Object.assign(init, { body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  const response = await perch.fetch(path, init);
  return response.json();
}

async function post(text, parent) {
  const reply = parent && { in_reply_to_tweet_id: parent };
  const { data } = await api("POST", "/2/tweets", { text, reply });
  // X has answered with the ID and the text. That is enough for a card; no need to read it back.
  const made = { ...data, created_at: new Date().toISOString() };
  if (parent) made.referenced_tweets = [{ type: "replied_to", id: parent }];
  said.set(made.id, made.text);
  $("#posts").prepend(card(made, { me, said, liked: false }, act));
  count("tweet_count", 1);
  settle();
}

const act = {
  reply: (id, text) => attempt(async () => { await post(text, id); say("Your reply is out."); }),
  like: (id, on) => attempt(() => on
    ? api("POST", `/2/users/${me.id}/likes`, { tweet_id: id })
    : api("DELETE", `/2/users/${me.id}/likes/${id}`)),
  delete: (id) => attempt(async () => {
    await api("DELETE", `/2/tweets/${id}`);
    $(`[data-post-id="${id}"]`)?.remove();
    count("tweet_count", -1);
    settle();
    $("#posts-title").focus(); // the focus was in the card that is gone
    say("The post is deleted.");
  }),
};

// attempt does the work and says what went wrong, if anything. It reports whether it worked.
async function attempt(work) {
  say(""); // so that the same words are announced again
  try {
    await work();
    return true;
  } catch (error) {
    if (!perch.signedIn) welcome("Your session has ended. Connect again to go on.");
    else say(explain(error), "warning");
    return false;
  }
}

function explain(error) {
  if (!(error instanceof PerchError)) throw error; // a mistake in this page; let the console have it
  if (error.type === "network") return `${error.detail} If you were posting, reload to see whether it went out.`;
  const wait = error.retryAfter ? ` Try again in ${error.retryAfter} seconds.` : "";
  return `${error.title}: ${error.detail}${wait}`;
}

// busy runs work for a button and ignores further clicks until it is done. The button is not disabled,
// for that would take the focus away from keyboard users.
async function busy(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try { await work(); } finally { button.removeAttribute("aria-busy"); }
}

// --- Buttons

$("#retry").onclick = () => location.reload();
$("#reconnect").onclick = () => busy($("#reconnect"), async () => {
  await perch.signOut().catch(() => {}); // it is of no use any more, whether Perch hears it or not
  await perch.connect(SCOPES);
});
$("#connect").onclick = () => busy($("#connect"), () => perch.connect(SCOPES));

$("#composer").onsubmit = (event) => {
  event.preventDefault();
  const field = $("#compose"), text = field.value.trim();
  if (!text) return field.focus();
  busy($("#post"), async () => {
    if (!await attempt(() => post(text))) return;
    field.value = "";
    counted(field, $("#counter"));
    say("Posted.");
  });
};

$("#signout").onclick = () => busy($("#signout"), async () => {
  try {
    await perch.signOut();
    say("You are signed out.");
  } catch {
    say("You are signed out here, but Perch could not be told; it forgets sessions that are not used.", "warning");
  }
  welcome();
});

function askDisconnect(open) {
  $("#disconnect-ask").hidden = !open;
  $("#disconnect").setAttribute("aria-expanded", String(open));
  $(open ? "#disconnect-no" : "#disconnect").focus();
}
$("#disconnect").onclick = () => askDisconnect($("#disconnect-ask").hidden);
$("#disconnect-no").onclick = () => askDisconnect(false);
$("#disconnect-yes").onclick = () => busy($("#disconnect-yes"), async () => {
  if (!await attempt(() => perch.disconnect())) return;
  askDisconnect(false);
  welcome();
  say("You are disconnected. Perch has forgotten this account.");
});

$("#error-example").onclick = () => busy($("#error-example"), async () => {
  try {
    await api("GET", "/2/tweets/search/all?query=perch");
    $("#error-result").textContent = "No error this time: this application may search the full archive.";
  } catch (error) {
    if (!(error instanceof PerchError)) throw error;
    $("#error-result").replaceChildren(problem(error));
  }
});

function problem({ status, title, detail, problem: document_ }) {
  const view = $("#problem").content.cloneNode(true);
  view.querySelector(".code").textContent = status || "–";
  view.querySelector(".title").textContent = title;
  view.querySelector(".detail").textContent = detail;
  view.querySelector("pre").textContent = JSON.stringify(document_, null, 2) ?? "(no document)";
  return view;
}

// --- What this page holds: looked up, not claimed.

function inventory() {
  const rows = [["Memory", `an access token of Perch, until ${new Date(perch.session.expires).toLocaleTimeString()}`]];
  for (const key of Object.keys(sessionStorage)) {
    rows.push(["sessionStorage", key.endsWith(":refresh") ? "a refresh token of Perch" : key]);
  }
  rows.push(["localStorage", localStorage.length ? Object.keys(localStorage).join(", ") : "nothing"]);
  rows.push(["Cookies", document.cookie || "none"]);
  rows.push(["May do", perch.session.scopes.join(", ")]);
  $(".inventory").replaceChildren(...rows.flatMap(([where, what]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = where;
    dd.textContent = what;
    return [dt, dd];
  }));
}
$("#holds").ontoggle = () => { if (perch.session) inventory(); };
