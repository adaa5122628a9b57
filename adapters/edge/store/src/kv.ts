// Workers KV as its REST API shows it, below …/namespaces/{id}/.

import { bytes, isObject, parsed, Refusal, succeed } from "./reply";

const largest = 25 << 20; // bytes of a value
const largestBulk = 32 << 20; // bytes of a bulk request: the Worker has 128 MB in all
const longestKey = 512; // bytes
const mostPairs = 10_000;
const mostGets = 100;

type Handler = (request: Request, query: URLSearchParams, store: KVNamespace, key: string) => Promise<Response>;

const handlers: Record<string, Handler> = {
  "GET keys": list,
  "GET values": read,
  "PUT values": write,
  "DELETE values": remove,
  "GET metadata": metadata,
  "PUT bulk": bulkPut,
  "POST bulk/get": bulkGet,
  "POST bulk/delete": bulkDelete,
};

export async function namespace(
  request: Request, query: URLSearchParams, store: KVNamespace, path: string,
): Promise<Response> {
  const [, what = path, encoded] = /^(values|metadata)\/(.*)$/.exec(path) ?? [];
  const handler = Object.hasOwn(handlers, `${request.method} ${what}`) ? handlers[`${request.method} ${what}`] : undefined;
  const named = what === "values" || what === "metadata";
  if (!handler || named !== (encoded !== undefined)) {
    throw new Refusal(404, 7003, `Could not route: no ${request.method} of this path`);
  }
  try {
    return await handler(request, query, store, named ? checked(decoded(encoded ?? "")) : "");
  } catch (failure) {
    throw failure instanceof Refusal ? failure : refused(failure);
  }
}

// refused tells a request that KV will never take from one that is too soon.
function refused(failure: unknown): Refusal {
  const said = failure instanceof Error ? failure.message : "unknown failure";
  const status = Number(/failed: (\d{3})/.exec(said)?.[1] ?? 500);
  return status === 429
    ? new Refusal(429, 10429, "too many writes of one key", { "retry-after": "1" })
    : new Refusal(status, status < 500 ? 10400 : 10500, said.slice(0, 200));
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Refusal(400, 10400, "the key is not percent-encoded UTF-8");
  }
}

function checked(key: unknown): string {
  if (typeof key !== "string" || key === "" || key === "." || key === ".." ||
    new TextEncoder().encode(key).length > longestKey) {
    throw new Refusal(400, 10400, `a key has 1 to ${longestKey} bytes and is neither . nor ..`);
  }
  return key;
}

async function list(_: Request, query: URLSearchParams, store: KVNamespace): Promise<Response> {
  const limit = Number(query.get("limit") ?? 1000);
  if (!Number.isInteger(limit) || limit < 10 || limit > 1000) {
    throw new Refusal(400, 10400, "limit is a whole number from 10 to 1000");
  }
  const page = await store.list({ prefix: query.get("prefix"), limit, cursor: query.get("cursor") || null });
  const cursor = page.list_complete ? "" : page.cursor;
  return succeed(page.keys, { count: page.keys.length, cursor });
}

// read tells when a value ends as well, which a namespace says only in lists.
async function read(_: Request, __: URLSearchParams, store: KVNamespace, key: string): Promise<Response> {
  const value = await store.get(key, "stream");
  if (value === null) {
    throw new Refusal(404, 10009, "key not found");
  }
  const headers = new Headers({ "content-type": "application/octet-stream", "cache-control": "no-store" });
  const first = (await store.list({ prefix: key, limit: 1 })).keys[0];
  if (first?.name === key && first.expiration !== undefined) {
    headers.set("expiration", String(first.expiration));
  }
  return new Response(value, { headers });
}

async function write(request: Request, query: URLSearchParams, store: KVNamespace, key: string): Promise<Response> {
  const type = request.headers.get("content-type") ?? "";
  const body = await bytes(request, largest + (64 << 10)); // and what surrounds the parts of a form
  let value: ArrayBuffer | string = body.buffer;
  let about: unknown;
  if (type.startsWith("multipart/form-data")) {
    const form = await new Response(body, { headers: { "content-type": type } }).formData().catch(() => {
      throw new Refusal(400, 10400, "the form cannot be read");
    });
    const [part, noted] = [form.get("value"), form.get("metadata")];
    if (part === null || typeof (noted ?? "") !== "string") {
      throw new Refusal(400, 10400, "the form needs a value, and metadata as text");
    }
    if (typeof part === "string" && part.includes("\uFFFD")) { // what was no UTF-8 is lost already
      throw new Refusal(400, 10400, "a value in a form is text, unless its part names a file");
    }
    value = typeof part === "string" ? part : await part.arrayBuffer();
    about = noted === null ? undefined : noteOf(noted as string);
  }
  await store.put(key, value, options(query.get("expiration"), query.get("expiration_ttl"), about));
  return succeed(null);
}

function noteOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Refusal(400, 10400, "metadata is no JSON");
  }
}

function options(expiration: unknown, ttl: unknown, about: unknown): KVNamespacePutOptions {
  const made: KVNamespacePutOptions = {};
  if (expiration !== null && expiration !== undefined) {
    made.expiration = whole(expiration);
  }
  if (ttl !== null && ttl !== undefined) {
    made.expirationTtl = whole(ttl);
  }
  if (about !== null && about !== undefined) {
    made.metadata = about;
  }
  return made;
}

function whole(value: unknown): number {
  const n = Number(value);
  if (!Number.isSafeInteger(n) || n < 1) {
    throw new Refusal(400, 10400, "expiration and expiration_ttl are whole numbers of seconds");
  }
  return n;
}

async function remove(_: Request, __: URLSearchParams, store: KVNamespace, key: string): Promise<Response> {
  await store.delete(key);
  return succeed(null);
}

async function metadata(_: Request, __: URLSearchParams, store: KVNamespace, key: string): Promise<Response> {
  const found = await store.getWithMetadata(key, "stream");
  if (found.value === null) {
    throw new Refusal(404, 10009, "key not found");
  }
  await found.value.cancel();
  return succeed(found.metadata);
}

async function bulkPut(request: Request, _: URLSearchParams, store: KVNamespace): Promise<Response> {
  const pairs = await parsed(request, largestBulk);
  if (!Array.isArray(pairs) || pairs.length > mostPairs) {
    throw new Refusal(400, 10400, `send a list of up to ${mostPairs} pairs`);
  }
  const puts = pairs.map((pair) => {
    if (!isObject(pair) || typeof pair.value !== "string") {
      throw new Refusal(400, 10400, 'a pair is {"key":"…","value":"…"}');
    }
    const value = pair.base64 === true ? unpacked(pair.value) : pair.value;
    return [checked(pair.key), value, options(pair.expiration, pair.expiration_ttl, pair.metadata)] as const;
  });
  for (const [key, value, how] of puts) {
    await store.put(key, value, how);
  }
  return succeed({ successful_key_count: puts.length, unsuccessful_keys: [] });
}

function unpacked(text: string): ArrayBuffer {
  try {
    return Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer;
  } catch {
    throw new Refusal(400, 10400, "a value said to be base64 is not");
  }
}

async function bulkGet(request: Request, _: URLSearchParams, store: KVNamespace): Promise<Response> {
  const body = await parsed(request, largestBulk);
  const keys = isObject(body) ? body.keys : undefined;
  if (!isObject(body) || !Array.isArray(keys) || keys.length === 0 || keys.length > mostGets) {
    throw new Refusal(400, 10400, `send {"keys":[…]} with 1 to ${mostGets} keys`);
  }
  const values = Object.create(null) as Record<string, unknown>; // a key may be __proto__
  for (const key of keys.map(checked)) {
    const found = await store.getWithMetadata(key, "text");
    values[key] = found.value !== null && body.withMetadata === true
      ? { value: found.value, metadata: found.metadata }
      : found.value;
  }
  return succeed({ values });
}

async function bulkDelete(request: Request, _: URLSearchParams, store: KVNamespace): Promise<Response> {
  const keys = await parsed(request, largestBulk);
  if (!Array.isArray(keys) || keys.length > mostPairs) {
    throw new Refusal(400, 10400, `send a list of up to ${mostPairs} keys`);
  }
  for (const key of keys.map(checked)) {
    await store.delete(key);
  }
  return succeed({ successful_key_count: keys.length, unsuccessful_keys: [] });
}
