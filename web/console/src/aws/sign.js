// Signature Version 4 in the browser, by WebCrypto (AWS, "Signing AWS API requests").
const text = new TextEncoder();
const ALGORITHM = "AWS4-HMAC-SHA256";

export const UNSIGNED = "UNSIGNED-PAYLOAD";

const hex = (buffer) => [...new Uint8Array(buffer)].map((b) => b.toString(16).padStart(2, "0")).join("");
const bytes = (data) => (typeof data === "string" ? text.encode(data) : data);

// SHA-256 of a string or bytes, in hexadecimal.
export const sha256 = async (data) => hex(await crypto.subtle.digest("SHA-256", bytes(data)));

async function hmac(key, data) {
  const made = await crypto.subtle.importKey("raw", bytes(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return new Uint8Array(await crypto.subtle.sign("HMAC", made, bytes(data)));
}

// Percent-encode all but the unreserved characters of RFC 3986.
export const encode = (value) => encodeURIComponent(value).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);

// [[name, value], …] as a canonical query string: encoded, sorted.
export const queryString = (pairs) =>
  pairs
    .map(([name, value]) => [encode(name), encode(value)])
    .sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
    .map((pair) => pair.join("="))
    .join("&");

// The path as it is signed: S3 signs what is sent, the others encode it once more.
const canonicalPath = (path, service) => (service === "s3" || service === "pileus" ? path : path.split("/").map(encode).join("/"));

const stamp = (date) => date.toISOString().replace(/[-:]|\.\d{3}/g, "");

async function signature(keys, day, region, service, toSign) {
  let key = `AWS4${keys.secret}`;
  for (const part of [day, region, service, "aws4_request"]) key = await hmac(key, part);
  return hex(await hmac(key, toSign));
}

// The headers to send with a request. `path` is as sent (encoded), `query` pairs not yet encoded, `headers` lower-case names;
// `hash` is the body's SHA-256 in hexadecimal or UNSIGNED; `keys` is {id, secret, token}.
export async function sign({ method, host, path, query = [], headers = {}, hash, service, region, keys, date = new Date() }) {
  const at = stamp(date);
  const all = { ...headers, host, "x-amz-date": at, "x-amz-content-sha256": hash };
  if (keys.token) all["x-amz-security-token"] = keys.token;
  const names = Object.keys(all).sort();
  const lines = names.map((name) => `${name}:${String(all[name]).trim().replace(/ +/g, " ")}\n`).join("");
  const canonical = [method, canonicalPath(path, service), queryString(query), lines, names.join(";"), hash].join("\n");
  const scope = `${at.slice(0, 8)}/${region}/${service}/aws4_request`;
  const told = await signature(keys, at.slice(0, 8), region, service, [ALGORITHM, at, scope, await sha256(canonical)].join("\n"));
  delete all.host; // the browser writes it
  return { ...all, authorization: `${ALGORITHM} Credential=${keys.id}/${scope}, SignedHeaders=${names.join(";")}, Signature=${told}` };
}

// The query string of a presigned GET that holds for `seconds`.
export async function presign({ host, path, service = "s3", region, keys, seconds, date = new Date() }) {
  const at = stamp(date);
  const scope = `${at.slice(0, 8)}/${region}/${service}/aws4_request`;
  const query = [
    ["X-Amz-Algorithm", ALGORITHM],
    ["X-Amz-Credential", `${keys.id}/${scope}`],
    ["X-Amz-Date", at],
    ["X-Amz-Expires", String(seconds)],
    ["X-Amz-SignedHeaders", "host"],
  ];
  if (keys.token) query.push(["X-Amz-Security-Token", keys.token]);
  const canonical = ["GET", canonicalPath(path, service), queryString(query), `host:${host}\n`, "host", UNSIGNED].join("\n");
  const told = await signature(keys, at.slice(0, 8), region, service, [ALGORITHM, at, scope, await sha256(canonical)].join("\n"));
  return queryString([...query, ["X-Amz-Signature", told]]);
}
