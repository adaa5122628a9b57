// Runs the store Worker in the real engine, workerd, with as many databases and
// namespaces as are asked for, for tests: node local.mjs <count>. API_TOKEN comes
// from the environment. The first line printed says where it is, as JSON. It
// asks nothing of the network and keeps nothing; it ends when it is told to.

import { buildSync } from "esbuild";
import { Miniflare } from "miniflare";

const count = Number(process.argv[2] ?? 1);
const account = "023e105f4ecef8ad9ca31a8372d0c353";
const numbers = Array.from({ length: count }, (_, i) => String(i).padStart(12, "0"));
const databases = numbers.map((n) => `00000000-0000-4000-8000-${n}`);
const namespaces = numbers.map((n) => `${"0".repeat(20)}${n}`);

const bindings = {
  API_TOKEN: { type: "text", value: process.env.API_TOKEN },
  ACCOUNT_ID: { type: "text", value: account },
  DATABASES: { type: "json", value: Object.fromEntries(databases.map((id, i) => [id, `DB${i}`])) },
  NAMESPACES: { type: "json", value: Object.fromEntries(namespaces.map((id, i) => [id, `KV${i}`])) },
};
databases.forEach((id, i) => (bindings[`DB${i}`] = { type: "d1", id }));
namespaces.forEach((id, i) => (bindings[`KV${i}`] = { type: "kv", id }));

const built = buildSync({
  entryPoints: [new URL("src/index.ts", import.meta.url).pathname],
  bundle: true, format: "esm", target: "es2024", write: false,
});

const worker = new Miniflare({
  host: "127.0.0.1", port: 0, cf: false,
  telemetry: { enabled: false }, enableDevRegistry: false, logRequests: false,
  workers: [{
    config: {
      name: "store", compatibilityDate: "2026-11-01", env: bindings,
      manifest: {
        mainModule: "index.mjs", modulesRoot: import.meta.dirname,
        modules: { "index.mjs": { type: "esm", contents: built.outputFiles[0].text } },
      },
    },
    dev: { rootPath: import.meta.dirname },
  }],
});

const { origin } = await worker.ready;
console.log(JSON.stringify({ url: `${origin}/client/v4`, account, databases, namespaces }));
