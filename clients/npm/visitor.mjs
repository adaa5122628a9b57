// visitor.mjs: somebody with a browser, who goes where they are sent and approves at X in a box.

const SIMULATED_USER = "1500000000000000001";

// A Jar keeps the cookies of each host.
class Jar {
  #hosts = new Map();

  keep(url, headers) {
    const cookies = this.#hosts.get(url.host) ?? new Map();
    this.#hosts.set(url.host, cookies);
    for (const line of headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(";").map((part) => part.trim());
      const at = pair.indexOf("=");
      const age = attributes.find((a) => a.toLowerCase().startsWith("max-age="));
      if (age && Number(age.slice(8)) <= 0) cookies.delete(pair.slice(0, at));
      else cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
  }

  header(url) {
    return [...(this.#hosts.get(url.host) ?? [])].map(([name, value]) => `${name}=${value}`).join("; ");
  }
}

// visit opens the URL, decides at X as told, and returns the URL at back to which the browser is sent at the end.
export async function visit(start, back, decision = "approve") {
  const jar = new Jar();
  let url = new URL(start);
  let form;
  for (let steps = 0; steps < 10; steps++) {
    const headers = { cookie: jar.header(url) };
    const response = await fetch(url, { redirect: "manual", headers, ...(form && { method: "POST", body: form }) });
    jar.keep(url, response.headers);
    const text = await response.text();
    const to = response.headers.get("location");
    if (to) {
      url = new URL(to, url);
      form = undefined;
      if (url.href.startsWith(back)) return url;
    } else if (response.ok && text.includes('name="decision"') && !form) {
      form = new URLSearchParams(url.search);
      form.set("user", SIMULATED_USER);
      form.set("decision", decision);
      url = new URL(url.pathname, url);
    } else {
      throw new Error(`${url.origin}${url.pathname} answers ${response.status}: ${text.slice(0, 300)}`);
    }
  }
  throw new Error("the browser is sent around in circles");
}
