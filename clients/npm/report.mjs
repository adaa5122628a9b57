// report.mjs: what a program is told, as JSON on its standard input, and how it tells what it sees: a JSON object a line.

let text = "";
for await (const chunk of process.stdin) text += chunk;

export const settings = JSON.parse(text);

export function say(step, seen) {
  console.log(JSON.stringify({ step, ...seen }));
}
