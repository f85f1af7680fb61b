// Runs a Node.js function: loads the handler, then asks the Runtime API for one event after another.
// Callback, promise and streaming handlers; CommonJS and ES modules; errors as AWS's.
import http from "node:http";
import fs from "node:fs";
import path from "node:path";
import util from "node:util";
import { Writable, finished } from "node:stream";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(":");
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const base = "/2018-06-01/runtime/";
let requestId = "";

function call(method, target, body, headers = {}) {
  return new Promise((resolve, reject) => {
    const options = { host, port, agent, method, path: base + target, headers };
    const request = http.request(options, (response) => {
      const parts = [];
      response.on("data", (part) => parts.push(part));
      response.on("end", () => resolve([response, Buffer.concat(parts)]));
      response.on("error", reject);
    });
    request.on("error", reject);
    request.end(body);
  });
}

for (const [name, level] of Object.entries({
  log: "INFO", info: "INFO", debug: "DEBUG", trace: "TRACE", warn: "WARN", error: "ERROR",
})) {
  console[name] = (...values) => {
    const text = util.format(...values).replaceAll("\n", "\r");
    const head = [new Date().toISOString(), requestId || "undefined", level];
    fs.writeSync(1, head.join("\t") + "\t" + text + "\n");
  };
}

function describe(error, kind) {
  if (!(error instanceof Error) && !util.types.isNativeError(error)) {
    return { errorType: typeof error, errorMessage: String(error), trace: [] };
  }
  return {
    errorType: kind ?? error.name ?? "Error",
    errorMessage: error.message,
    trace: (error.stack ?? "").split("\n"),
  };
}

function report(target, error, kind) {
  const object = describe(error, kind);
  const { trace, ...told } = object;
  console.error(`Invoke Error \t${JSON.stringify({ ...told, stack: trace })}`);
  return call("POST", target, JSON.stringify(object), {
    "Content-Type": "application/json",
    "Lambda-Runtime-Function-Error-Type": object.errorType,
  });
}

// -- answers that are written piece by piece ----------------------------------------------------
// Developer guide, "Writing response streaming-enabled Lambda functions" and "Building a custom runtime".

const STREAMING = Symbol.for("aws.lambda.runtime.handler.streaming");
const BUFFERED_BYTES = Symbol.for("aws.lambda.runtime.handler.streaming.highWaterMark");
const WITH_METADATA = "application/vnd.awslambda.http-integration-response";
const ERROR_TYPE = "Lambda-Runtime-Function-Error-Type";
const ERROR_BODY = "Lambda-Runtime-Function-Error-Body";

const bytes = (chunk) =>
  chunk == null || typeof chunk === "string" || typeof chunk === "function" || chunk instanceof Uint8Array
    ? chunk : JSON.stringify(chunk);

// The handler's responseStream. The request to the runtime is made by the first write, so that an
// error before it is answered as any other. A write waits while nobody takes what was written.
class ResponseStream extends Writable {
  #target;
  #type = "application/octet-stream";
  #metadata = null;
  #request = null;
  #answered = null;

  constructor(target, highWaterMark) {
    super(highWaterMark === undefined ? {} : { highWaterMark });
    this.#target = target;
    this.completed = new Promise((resolve, reject) => {
      finished(this, { readable: false }, (error) => (error ? reject(error) : resolve()));
    });
    this.completed.catch(() => {}); // whoever waits for it is told
  }

  get begun() { return this.#request !== null; }

  setContentType(type) {
    if (this.begun) throw new Error("The content type is sent with the first write");
    this.#type = type;
  }

  setMetadata(metadata) {
    this.setContentType(WITH_METADATA);
    this.#metadata = JSON.stringify(metadata);
  }

  write(chunk, ...more) { return super.write(bytes(chunk), ...more); }
  end(chunk, ...more) { return super.end(bytes(chunk), ...more); }

  #begin() {
    if (this.#request) return this.#request;
    const headers = {
      "Content-Type": this.#type,
      "Transfer-Encoding": "chunked",
      "Lambda-Runtime-Function-Response-Mode": "streaming",
      Trailer: `${ERROR_TYPE}, ${ERROR_BODY}`,
    };
    const request = http.request({ host, port, agent, method: "POST", path: base + this.#target, headers });
    this.#request = request;
    this.#answered = new Promise((resolve, reject) => {
      request.on("response", (response) => response.on("end", resolve).resume());
      request.on("error", reject);
    });
    this.#answered.catch((error) => this.destroy(error));
    if (this.#metadata !== null) request.write(this.#metadata + "\0".repeat(8));
    return request;
  }

  _write(chunk, encoding, done) {
    const request = this.#begin();
    if (request.write(chunk)) done();
    else request.once("drain", done);
  }

  _final(done) {
    this.#begin().end();
    this.#answered.then(() => done(), done);
  }

  // Ends a begun answer with its error; what was written before stays written.
  async fail(error, kind) {
    const { trace, ...told } = describe(error, kind);
    console.error(`Invoke Error \t${JSON.stringify({ ...told, stack: trace })}`);
    this.destroy();
    if (this.#request.destroyed || this.#request.writableEnded) return;
    const errorMessage = told.errorMessage.slice(0, 65536);
    const object = { ...told, errorMessage, trace: trace.slice(0, 64) };
    this.#request.addTrailers({
      [ERROR_TYPE]: String(told.errorType).replace(/[^\x21-\x7e]/g, "?"),
      [ERROR_BODY]: Buffer.from(JSON.stringify(object)).toString("base64"),
    });
    this.#request.end();
    await this.#answered.catch(() => {});
  }
}

globalThis.awslambda = {
  streamifyResponse(handler, options) {
    handler[STREAMING] = "response";
    handler[BUFFERED_BYTES] = options?.highWaterMark;
    return handler;
  },
  HttpResponseStream: {
    from(responseStream, metadata) {
      responseStream.setMetadata(metadata);
      return responseStream;
    },
  },
};

let open = null; // the streamed answer under way
let dying = false; // told of an error nobody caught: asks for no more

class Fault extends Error {
  constructor(kind, message) { super(message); this.name = kind; }
}

async function load(root, handler) {
  const match = /^(.*\/)?([^/.]+)\.(.+)$/.exec(handler);
  if (!match || handler.includes("..")) throw new Fault("Runtime.MalformedHandlerName", "Bad handler");
  const [, folder = "", file, names] = match;
  const stem = path.resolve(root, folder, file);
  const found = [".js", ".mjs", ".cjs"].map((end) => stem + end).find((name) => fs.existsSync(name));
  let module;
  try {
    module = found && !found.endsWith(".cjs")
      ? await import(pathToFileURL(found).href)
      : createRequire(stem)(found ?? stem);
  } catch (error) {
    const missing = ["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(error?.code);
    if (missing) throw Object.assign(error, { name: "Runtime.ImportModuleError" });
    if (error instanceof SyntaxError) error.name = "Runtime.UserCodeSyntaxError";
    throw error;
  }
  const pick = (from) => names.split(".").reduce((value, name) => value?.[name], from);
  const chosen = pick(module) ?? pick(module.default);
  if (chosen === undefined) {
    throw new Fault("Runtime.HandlerNotFound", `${handler} is undefined or not exported`);
  }
  if (typeof chosen !== "function") {
    throw new Fault("Runtime.HandlerNotFound", `${handler} is not a function`);
  }
  return chosen;
}

function makeContext(headers, settle) {
  const deadline = Number(headers["lambda-runtime-deadline-ms"]);
  const parse = (text) => (text ? JSON.parse(text) : undefined);
  const env = process.env;
  return {
    callbackWaitsForEmptyEventLoop: true,
    functionVersion: env.AWS_LAMBDA_FUNCTION_VERSION,
    functionName: env.AWS_LAMBDA_FUNCTION_NAME,
    memoryLimitInMB: env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
    logGroupName: env.AWS_LAMBDA_LOG_GROUP_NAME,
    logStreamName: env.AWS_LAMBDA_LOG_STREAM_NAME,
    clientContext: parse(headers["lambda-runtime-client-context"]),
    identity: parse(headers["lambda-runtime-cognito-identity"]),
    invokedFunctionArn: headers["lambda-runtime-invoked-function-arn"],
    awsRequestId: requestId,
    getRemainingTimeInMillis: () => Math.max(0, deadline - Date.now()),
    done: settle,
    succeed: (value) => settle(null, value),
    fail: (error) => settle(error ?? new Error("handled")),
  };
}

function run(handler, event, headers, state) {
  return new Promise((resolve, reject) => {
    let context;
    const settle = (error, value) => {
      state.settled = true;
      const finish = () => (error ? reject(error) : resolve(value));
      // With the flag up, AWS answers only when the event loop has nothing left to do.
      if (context.callbackWaitsForEmptyEventLoop) process.once("beforeExit", finish);
      else finish();
    };
    context = makeContext(headers, settle);
    const result = handler(event, context, settle);
    if (typeof result?.then === "function") result.then(resolve, reject);
    else if (handler.length < 3 && result !== undefined) resolve(result);
  });
}

// Runs a streaming handler: done when it has returned and its stream has ended.
async function stream(handler, event, headers) {
  const { done, succeed, fail, ...context } = makeContext(headers);
  const result = handler(event, open, context);
  if (typeof result?.then !== "function") {
    throw new Fault("Runtime.InvalidStreamingOperation", "A streaming handler must be async");
  }
  await Promise.all([result, open.completed]);
}

async function next() {
  if (dying) await new Promise(() => {});
  const [response, body] = await call("GET", "invocation/next");
  const headers = response.headers;
  requestId = headers["lambda-runtime-aws-request-id"];
  if (headers["lambda-runtime-trace-id"]) process.env._X_AMZN_TRACE_ID = headers["lambda-runtime-trace-id"];
  return [headers, body];
}

async function serve(handler) {
  for (;;) {
    const [headers, body] = await next();
    const target = `invocation/${requestId}/`;
    open = handler[STREAMING] ? new ResponseStream(target + "response", handler[BUFFERED_BYTES]) : null;
    const answer = open;
    const idle = () => {
      if (answer) answer.end(); // nobody is left who could write to it
      const told = answer ? answer.completed : call("POST", target + "response", "null");
      return told.then(() => serve(handler));
    };
    let ended = false;
    const state = { settled: false };
    const onEmpty = () => { if (!ended && !state.settled) { ended = true; idle(); } };
    process.once("beforeExit", onEmpty); // a callback handler that never calls back answers null
    try {
      if (answer) {
        await stream(handler, JSON.parse(body), headers);
        if (ended) return;
        ended = true;
        continue;
      }
      const value = await run(handler, JSON.parse(body), headers, state);
      if (ended) return;
      ended = true;
      await call("POST", target + "response", JSON.stringify(value) ?? "null",
        { "Content-Type": "application/json" });
    } catch (error) {
      if (ended || dying) return;
      ended = true;
      if (answer?.begun) await answer.fail(error);
      else {
        answer?.destroy(); // what comes to it late belongs to no invocation
        await report(target + "error", error);
      }
    } finally {
      process.removeListener("beforeExit", onEmpty);
    }
  }
}

function fatal(kind) {
  return (error) => {
    dying = true;
    if (open?.begun && !open.writableFinished) {
      open.fail(error, kind).finally(() => process.exit(129));
      return;
    }
    report(requestId ? `invocation/${requestId}/error` : "init/error", error, kind)
      .finally(() => process.exit(129));
  };
}
process.on("uncaughtException", fatal());
process.on("unhandledRejection", fatal("Runtime.UnhandledPromiseRejection"));

const task = process.env.LAMBDA_TASK_ROOT;
let handler;
try {
  handler = await load(task, process.env._HANDLER);
} catch (error) {
  await report("init/error", error);
  process.exit(1);
}
serve(handler);
