// page.mjs: oauth4webapi in a page. It goes to Perch and comes back as a new document; what it has seen is in #report then,
// a JSON object a line.

import * as oauth from "/oauth4webapi.js";
import { arrive, leave } from "/journey.mjs";

const said = JSON.parse(sessionStorage.getItem("said") ?? "[]");
const say = (step, seen) => said.push(JSON.stringify({ step, ...seen }));

try {
  const settings = await (await fetch("/settings.json")).json();
  const begun = JSON.parse(sessionStorage.getItem("begun"));
  const journey = { oauth, settings, say, keys: settings.dpop && (await keys()) };
  if (begun) {
    const url = location.href;
    history.replaceState(null, "", location.pathname);
    await arrive(journey, url, begun);
    end();
  } else {
    const next = await leave(journey);
    sessionStorage.setItem("begun", JSON.stringify(next));
    sessionStorage.setItem("said", JSON.stringify(said));
    location.assign(next.url);
  }
} catch (error) {
  say("failed", { why: `${error.stack ?? error} ${error.cause ?? ""}` });
  end();
}

function end() {
  document.querySelector("#report").textContent = said.join("\n");
}

// keys returns the key pair of this page, which outlives the document and whose private half no script can read.
async function keys() {
  const opened = indexedDB.open("keys");
  opened.onupgradeneeded = () => opened.result.createObjectStore("keys");
  const db = await done(opened);
  const kept = await done(db.transaction("keys").objectStore("keys").get("dpop"));
  if (kept) return kept;
  const made = await oauth.generateKeyPair("ES256");
  await done(db.transaction("keys", "readwrite").objectStore("keys").put(made, "dpop"));
  say("key", { readable: made.privateKey.extractable });
  return made;
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
