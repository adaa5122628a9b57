// cards.js: a post on the page, and the forms that open in it.

const LIMIT = 280;
const NO_METRICS = { reply_count: 0, like_count: 0 };

/**
 * A list item for a post of mine. said has the texts of posts by ID. act has reply(id, text), like(id, on)
 * and delete(id), which resolve to whether it worked.
 */
export function card(post, { me, liked, said }, act) {
  const item = document.querySelector("#card").content.cloneNode(true).firstElementChild;
  const $ = (selector) => item.querySelector(selector);
  const metrics = { ...NO_METRICS, ...post.public_metrics };
  item.dataset.postId = post.id;
  $(".face").textContent = initials(me.name);
  $(".name").textContent = me.name;
  $(".handle").textContent = `@${me.username}`;
  $(".text").textContent = post.text;
  $("time").dateTime = post.created_at;
  $("time").textContent = when(post.created_at);
  context(post, said, $(".context"));
  counts($(".reply .count"), metrics.reply_count);
  likes($(".like"), liked, metrics.like_count);
  wireReply(post, $, metrics, act);
  wireLike(post, $, metrics, act);
  wireDelete(post, $, act);
  return item;
}

function context(post, said, line) {
  const parent = post.referenced_tweets?.find((ref) => ref.type === "replied_to");
  if (!parent) return;
  const text = said.get(parent.id);
  line.textContent = text ? `In reply to “${clip(text)}”` : "In reply to another post";
  line.hidden = false;
}

function wireReply(post, $, metrics, act) {
  const form = $(".reply-form"), field = $(".reply-text"), counter = $(".reply-form .counter");
  const open = (on) => toggle($(".reply"), form, on, on ? field : $(".reply"));
  $(".reply").onclick = () => { open(form.hidden); counted(field, counter); };
  $(".cancel").onclick = () => open(false);
  form.onkeydown = (event) => { if (event.key === "Escape") open(false); };
  form.onsubmit = (event) => {
    event.preventDefault();
    const text = field.value.trim();
    if (!text) return field.focus();
    once($(".send"), async () => {
      if (!await act.reply(post.id, text)) return;
      field.value = "";
      counts($(".reply .count"), ++metrics.reply_count);
      open(false);
    });
  };
}

function wireLike(post, $, metrics, act) {
  const button = $(".like");
  button.onclick = () => once(button, async () => {
    const on = button.getAttribute("aria-pressed") !== "true", before = metrics.like_count;
    metrics.like_count = Math.max(0, before + (on ? 1 : -1));
    likes(button, on, metrics.like_count); // at once; taken back if X refuses
    if (await act.like(post.id, on)) return;
    metrics.like_count = before;
    likes(button, !on, before);
  });
}

function wireDelete(post, $, act) {
  const ask = $(".ask");
  const open = (on) => toggle($(".delete"), ask, on, on ? $(".cancel-delete") : $(".delete"));
  $(".delete").onclick = () => open(ask.hidden);
  $(".cancel-delete").onclick = () => open(false);
  ask.onkeydown = (event) => { if (event.key === "Escape") open(false); };
  $(".confirm-delete").onclick = () => once($(".confirm-delete"), () => act.delete(post.id));
}

function toggle(button, panel, on, focus) {
  panel.hidden = !on;
  button.setAttribute("aria-expanded", String(on));
  focus.focus();
}

async function once(button, work) {
  if (button.getAttribute("aria-busy") === "true") return;
  button.setAttribute("aria-busy", "true");
  try { await work(); } finally { button.removeAttribute("aria-busy"); }
}

function likes(button, on, n) {
  button.setAttribute("aria-pressed", String(on));
  counts(button.querySelector(".count"), n);
}

function counts(span, n) { span.textContent = n > 0 ? n.toLocaleString() : ""; }

/** Shows how much room is left for the text of field, now and while typing. */
export function counted(field, counter) {
  const update = () => {
    const left = LIMIT - weight(field.value.trim());
    counter.textContent = left === 1 ? "1 character left" : `${left} characters left`;
    counter.classList.toggle("over", left < 0);
  };
  field.oninput = update;
  update();
}

// weight is how X counts, near enough: a link is 23, Latin and its neighbours are 1, everything else
// (CJK, emoji) is 2. X itself decides; accounts with longer posts may write more.
function weight(text) {
  let n = 0;
  const rest = text.replace(/https?:\/\/\S+/g, () => { n += 23; return ""; });
  for (const char of rest) n += /[\u0000-\u10ff\u2000-\u200d\u2010-\u201f\u2032-\u2037]/u.test(char) ? 1 : 2;
  return n;
}

export function initials(name) {
  return name.split(/\s+/).slice(0, 2).map((word) => [...word][0] ?? "").join("").toUpperCase();
}

const clip = (text) => ([...text].length > 60 ? `${[...text].slice(0, 60).join("")}…` : text);

const relative = new Intl.RelativeTimeFormat(document.documentElement.lang, { numeric: "auto" });

function when(iso) {
  const minutes = Math.round((Date.parse(iso) - Date.now()) / 60_000);
  if (minutes > -1) return "just now";
  if (minutes > -60) return relative.format(minutes, "minute");
  if (minutes > -1440) return relative.format(Math.round(minutes / 60), "hour");
  return new Date(iso).toLocaleDateString(undefined, { dateStyle: "medium" });
}
