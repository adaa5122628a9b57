// The store Worker gives a Perch that runs anywhere the KV namespaces and the D1
// databases it is bound to, behind the paths and bodies of Cloudflare's REST
// API. It decides nothing; who knows the token may do everything.

import { database } from "./d1";
import { namespace } from "./kv";
import { Refusal } from "./reply";

export interface Env {
  API_TOKEN?: string;
  ACCOUNT_ID: string;
  DATABASES: Record<string, string>; // by ID: the name of the binding
  NAMESPACES: Record<string, string>;
  [binding: string]: unknown;
}

const shortest = 32; // characters of a token that cannot be guessed

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    try {
      await admit(request, env);
      return await route(request, env);
    } catch (failure) {
      if (failure instanceof Refusal) {
        return failure.reply();
      }
      console.error("unexpected:", failure instanceof Error ? failure.name : typeof failure); // texts may hold keys
      return new Refusal(500, 10500, "the store Worker failed; its log has the kind of failure").reply();
    }
  },
} satisfies ExportedHandler<Env>;

// admit lets through who knows the token. Hashes are of one length, so that
// comparing them tells nothing.
async function admit(request: Request, env: Env): Promise<void> {
  if (typeof env.API_TOKEN !== "string" || env.API_TOKEN.length < shortest) {
    throw new Refusal(503, 10503, `API_TOKEN is not set, or shorter than ${shortest} characters; run: ` +
      "openssl rand -hex 32 | wrangler secret put API_TOKEN");
  }
  const [scheme, token] = (request.headers.get("authorization") ?? "").split(" ", 2);
  const [given, wanted] = await Promise.all([hash(token ?? ""), hash(env.API_TOKEN)]);
  if (!crypto.subtle.timingSafeEqual(given, wanted) || scheme?.toLowerCase() !== "bearer") {
    throw new Refusal(403, 10000, "Authentication error");
  }
}

function hash(text: string): Promise<ArrayBuffer> {
  return crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
}

const account = /^\/client\/v4\/accounts\/([^/]+)\/(.+)$/;
const kv = /^storage\/kv\/namespaces\/([^/]+)\/(.+)$/;
const d1 = /^d1\/database\/([^/]+)\/(query|raw)$/;

async function route(request: Request, env: Env): Promise<Response> {
  const url = new URL(request.url);
  const [, id, path] = account.exec(url.pathname) ?? [];
  if (path === undefined || id !== env.ACCOUNT_ID) {
    throw new Refusal(404, 7003, "Could not route: the store Worker has no such account or path");
  }
  let found = kv.exec(path);
  if (found) {
    const store = bound<KVNamespace>(env, env.NAMESPACES, found[1] ?? "");
    if (!store) {
      throw new Refusal(404, 10013, "namespace not found");
    }
    return namespace(request, url.searchParams, store, found[2] ?? "");
  }
  found = d1.exec(path);
  if (found) {
    const db = bound<D1Database>(env, env.DATABASES, found[1] ?? "");
    if (!db) {
      throw new Refusal(404, 7404, "The database could not be found");
    }
    return database(request, db, found[2] === "raw");
  }
  throw new Refusal(404, 7003, "Could not route: the store Worker has no such path");
}

function bound<T>(env: Env, names: Record<string, string>, id: string): T | undefined {
  return Object.hasOwn(names, id) ? (env[names[id] ?? ""] as T | undefined) : undefined;
}
