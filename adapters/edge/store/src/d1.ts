// D1 as its REST API shows it: POST …/query with rows as objects, POST …/raw
// with rows as lists. A batch is one transaction.

import { bytes, isObject, parsed, Refusal, succeed } from "./reply";

const largest = 8 << 20; // bytes of a request; D1 itself takes less
const most = 500; // statements of a batch

interface Statement {
  sql: string;
  params: string[];
}

export async function database(request: Request, db: D1Database, raw: boolean): Promise<Response> {
  if (request.method !== "POST") {
    await bytes(request, 0).catch(() => undefined);
    throw new Refusal(405, 10405, "Method not allowed; use POST");
  }
  const body = await parsed(request, largest);
  if (!isObject(body)) {
    throw malformed();
  }
  const list = body.batch === undefined ? [body] : body.batch;
  if (!Array.isArray(list) || list.length === 0 || list.length > most) {
    throw malformed();
  }
  const prepared = list.map(statement).map((s) => ({ sql: s.sql, run: db.prepare(s.sql).bind(...s.params) }));
  try {
    return succeed(await perform(db, prepared, raw));
  } catch (failure) {
    throw failure instanceof Refusal ? failure : refused(failure);
  }
}

async function perform(db: D1Database, list: { sql: string; run: D1PreparedStatement }[], raw: boolean) {
  const only = list.length === 1 ? list[0] : undefined;
  if (raw && only && selects(only.sql)) {
    const [columns, ...rows] = await only.run.raw({ columnNames: true });
    return [{ success: true, meta: { changes: 0, changed_db: false }, results: { columns, rows } }];
  }
  const results = await db.batch<Record<string, unknown>>(list.map((s) => s.run));
  return results.map((r) => ({ success: r.success, meta: r.meta, results: raw ? table(r.results) : r.results }));
}

// table turns objects into lists. Objects have their members in the order of
// columns, unless one is named by a number.
function table(objects: Record<string, unknown>[]) {
  const columns = Object.keys(objects[0] ?? {});
  if (columns.length > 1 && columns.some((name) => /^\d+$/.test(name))) {
    throw new Refusal(400, 7500, "a column is named by a number, so the order of columns is lost; name it with AS");
  }
  return { columns, rows: objects.map((o) => columns.map((name) => o[name])) };
}

function statement(item: unknown): Statement {
  if (!isObject(item) || typeof item.sql !== "string" || item.sql === "") {
    throw malformed();
  }
  const params = item.params ?? [];
  if (!Array.isArray(params) || !params.every((p) => typeof p === "string")) {
    throw malformed();
  }
  return { sql: item.sql, params };
}

function malformed(): Refusal {
  return new Refusal(400, 7400, "The request is malformed: " +
    `send {"sql":"…","params":["…"]} with params as strings, or {"batch":[…]} with 1 to ${most} of them`);
}

// refused tells statements that are wrong from a database that is busy, which
// may be asked again.
function refused(failure: unknown): Refusal {
  const said = failure instanceof Error ? failure.message : "unknown failure";
  if (/overloaded|reset|network connection lost|timed? ?out|exceeded timeout|starting up/i.test(said) &&
    !/SQLITE_(ERROR|CONSTRAINT)/.test(said)) {
    return new Refusal(503, 7500, said, { "retry-after": "1" });
  }
  return new Refusal(400, 7500, said);
}

// selects reports whether the text begins with SELECT, comments aside.
export function selects(sql: string): boolean {
  let at = 0;
  for (;;) {
    while (/\s/.test(sql.charAt(at))) {
      at++;
    }
    const [open, close] = sql.startsWith("--", at) ? ["--", "\n"] : ["/*", "*/"];
    if (!sql.startsWith(open, at)) {
      return /^select\b/i.test(sql.slice(at, at + 7));
    }
    const end = sql.indexOf(close, at + 2);
    if (end < 0) {
      return false;
    }
    at = end + close.length;
  }
}
