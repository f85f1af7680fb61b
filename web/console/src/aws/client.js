// Signed calls to the cloud's API, which the edge repeats below /admin/api for this page.
import { UNSIGNED, queryString, sha256, sign } from "./sign.js";
import { tree } from "./xml.js";

const BASE = "/admin/api";
const SLOW_MS = 30_000;
const SILENT = "The cloud does not answer. Is it running?";
// Under this an answer tells which nodes' part it lacks: {name: why}.
export const MISSING = Symbol("missing");

// What the cloud answered when it did not do what was asked.
export class Refused extends Error {
  constructor(status, code, message) {
    super(message || code || `The cloud answered ${status}`);
    Object.assign(this, { status, code });
  }
}

// What the page knows of the cloud before anyone is signed in.
export async function about() {
  const answer = await fetch("/admin/about.json", { cache: "no-store" });
  if (!answer.ok) throw new Refused(answer.status, "", "The cloud is starting, or it is not well.");
  const told = await answer.json();
  return { ...told, skew: Date.parse(answer.headers.get("date") ?? "") - Date.now() || 0 };
}

export class Client {
  // `keys` is {id, secret, token}; `skew` is how far this machine's clock is behind, in milliseconds.
  constructor(keys, region, skew = 0) {
    Object.assign(this, { keys, region, skew: Math.abs(skew) > 5000 ? skew : 0 });
  }

  // One signed request; the Response. `path` is encoded, `query` pairs, `body` a string, bytes or Blob.
  async send(service, method, path, { query = [], headers = {}, body = null, signal, patience = SLOW_MS } = {}) {
    const hash = body instanceof Blob ? UNSIGNED : await sha256(body ?? "");
    const signed = await this.sign(service, method, path, query, headers, hash);
    const text = queryString(query);
    const limit = AbortSignal.timeout(patience);
    try {
      return await fetch(`${BASE}${path}${text ? `?${text}` : ""}`, {
        method, headers: signed, body, cache: "no-store", redirect: "error",
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
    } catch (error) {
      if (limit.aborted) throw new Refused(0, "Timeout", `No answer within ${patience / 1000} seconds.`);
      if (signal?.aborted) throw error;
      throw new Refused(0, "Unreachable", SILENT);
    }
  }

  sign(service, method, path, query, headers, hash) {
    const date = new Date(Date.now() + this.skew);
    return sign({ method, host: location.host, path, query, headers, hash, service, region: this.region, keys: this.keys, date });
  }

  // `send`, but an error of the cloud is thrown as `Refused`.
  async done(...request) {
    const answer = await this.send(...request);
    if (answer.ok) return answer;
    throw await refusal(answer);
  }

  // A JSON service: DynamoDB, Logs.
  async json(service, target, input = {}, version = "1.0", options = {}) {
    const headers = { "content-type": `application/x-amz-json-${version}`, "x-amz-target": target };
    const answer = await this.done(service, "POST", "/", { headers, body: JSON.stringify(input), ...options });
    const text = await textOf(answer);
    const told = text ? JSON.parse(text) : {}; // some operations answer nothing
    const missing = answer.headers.get("x-pileus-missing");
    if (missing) told[MISSING] = Object.fromEntries(missing.split(", ").map((node) => [node, ""]));
    return told;
  }

  dynamodb(operation, input, options) {
    return this.json("dynamodb", `DynamoDB_20120810.${operation}`, input, "1.0", options);
  }

  logs(operation, input, options) {
    return this.json("logs", `Logs_20140328.${operation}`, input, "1.1", options);
  }

  // A query service: IAM, STS. Answers the result's tree.
  async query(service, version, action, input = {}) {
    const body = queryString([["Action", action], ["Version", version], ...Object.entries(input)]);
    const headers = { "content-type": "application/x-www-form-urlencoded; charset=utf-8" };
    const told = tree(await textOf(await this.done(service, "POST", "/", { headers, body })));
    return told[`${action}Result`] ?? {};
  }

  iam(action, input) {
    return this.query("iam", "2010-05-08", action, input);
  }

  who() {
    return this.query("sts", "2011-06-15", "GetCallerIdentity");
  }

  // A REST service that speaks JSON: Lambda, API Gateway, and the cloud's own doors ("pileus").
  // `node`: which machine of a cluster is to answer; the one that is asked hands the request on.
  async rest(service, method, path, { query = [], input, node, ...options } = {}) {
    const body = input === undefined ? null : JSON.stringify(input);
    const headers = body === null ? {} : { "content-type": "application/json" };
    if (node) headers["x-pileus-node"] = node;
    const answer = await this.done(service, method, path, { query, headers, body, ...options });
    const text = await textOf(answer);
    return text ? JSON.parse(text) : {};
  }

  // The names of the nodes, the one that answers first; none on one machine, or for who may not know.
  async nodes() {
    try {
      const { nodes } = await this.rest("pileus", "GET", "/_pileus/nodes");
      return nodes.sort((a, b) => b.here - a.here).map((n) => n.name);
    } catch (error) {
      if (error.status === 403 || error.status === 404) return [];
      throw error;
    }
  }

  // S3, whose answers are XML trees.
  async s3(method, path, options) {
    const text = await textOf(await this.done("s3", method, path, options));
    return text.startsWith("<") ? tree(text) : text;
  }
}

// What an answer says; one that stops half-way is none.
export async function textOf(answer) {
  try {
    return await answer.text();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    if (error.name === "TimeoutError") throw new Refused(0, "Timeout", "The answer did not come to its end in time.");
    throw new Refused(0, "Unreachable", SILENT);
  }
}

// The error an answer tells, in whichever form its service has.
export async function refusal(answer) {
  const text = await textOf(answer);
  let code = answer.headers.get("x-amzn-errortype")?.split(":")[0] ?? "";
  let message = "";
  if (text.startsWith("{")) {
    const told = JSON.parse(text);
    code ||= String(told.__type ?? told.code ?? "").split("#").pop();
    message = told.message ?? told.Message ?? told.errorMessage ?? "";
  } else if (text.startsWith("<?xml") || text.startsWith("<Error")) {
    const answered = tree(text);
    const told = answered.Error ?? answered;
    code ||= told.Code ?? "";
    message = told.Message ?? "";
  } else {
    message = text.slice(0, 300);
  }
  return new Refused(answer.status, code, message);
}
