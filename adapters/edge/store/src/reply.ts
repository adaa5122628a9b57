// What every reply of Cloudflare's REST API is wrapped in.

export interface Envelope {
  success: boolean;
  errors: { code: number; message: string }[];
  messages: never[];
  result: unknown;
  result_info?: unknown;
}

// A Refusal ends a request with an error that the caller sees.
export class Refusal extends Error {
  constructor(
    readonly status: number,
    readonly code: number,
    message: string,
    readonly headers: Record<string, string> = {},
  ) {
    super(message);
  }

  reply(): Response {
    const errors = [{ code: this.code, message: this.message }];
    return json({ success: false, errors, messages: [], result: null }, this.status, this.headers);
  }
}

export function succeed(result: unknown, info?: unknown): Response {
  const whole: Envelope = { success: true, errors: [], messages: [], result };
  if (info !== undefined) {
    whole.result_info = info;
  }
  return json(whole, 200);
}

function json(body: Envelope, status: number, headers: Record<string, string> = {}): Response {
  return Response.json(body, { status, headers: { "cache-control": "no-store", ...headers } });
}

// bytes reads a body of at most limit bytes, whatever length it declares.
export async function bytes(request: Request, limit: number): Promise<Uint8Array<ArrayBuffer>> {
  const tooLarge = () => new Refusal(413, 10400, `the body is larger than ${limit} bytes`);
  if (Number(request.headers.get("content-length") ?? 0) > limit) {
    throw tooLarge();
  }
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of request.body ?? []) {
    length += part.byteLength;
    if (length > limit) {
      throw tooLarge();
    }
    parts.push(part);
  }
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.byteLength;
  }
  return whole;
}

// parsed reads a body of JSON.
export async function parsed(request: Request, limit: number): Promise<unknown> {
  const text = await bytes(request, limit);
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: false }).decode(text));
  } catch {
    throw new Refusal(400, 10400, "the body is no JSON");
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
