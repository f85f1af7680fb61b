// Lambda functions: configuration, a test event with its result and log, environment, code.
import { html, nothing } from "lit";
import { textOf } from "../aws/client.js";
import { ask, fill } from "../shell/dialogs.js";
import { ago, bytes, pretty, unbase64 } from "../shell/format.js";
import { badge, facts, grid, tabs } from "../shell/grid.js";
import { Page, trouble } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const BASE = "/2015-03-31/functions";
const PATIENCE = 16 * 60_000; // a function may run 15 minutes
const RUNTIMES = ["python3.13", "python3.12", "python3.11", "nodejs22.x", "nodejs20.x", "provided.al2023"].map((r) => [r, r]);
const path = (name, more = "") => `${BASE}/${encodeURIComponent(name)}${more}`;
const state = (f) => (f.State ? badge(f.State.toLowerCase(), f.State === "Active" ? "good" : f.State === "Failed" ? "bad" : "warn") : nothing);

class Functions extends Page {
  static properties = { told: { state: true }, tab: { state: true }, result: { state: true }, running: { state: true } };

  reset() {
    Object.assign(this, { told: null, tab: "test", result: null, running: false });
    this.list = new Paged(this, async (Marker, size) => {
      const query = [["MaxItems", String(size)], ...(Marker ? [["Marker", Marker]] : [])];
      const told = await this.client.rest("lambda", "GET", BASE, { query });
      return { rows: told.Functions, next: told.NextMarker ?? undefined };
    });
  }

  get name() {
    return this.args[0];
  }

  async load() {
    if (!this.name) return this.list.again();
    this.told = await this.client.rest("lambda", "GET", path(this.name));
  }

  head() {
    if (!this.name) return this.heading("Functions", html`<button class="main" @click=${this.create}>Create function</button>`);
    return this.heading(this.name, html`<a class="button" href="#/logs/${encodeURIComponent(`/aws/lambda/${this.name}`)}">Log</a>
      <button class="danger" @click=${this.discard}>Delete</button>`, nothing, html`<a class="up" href="#/functions">← Functions</a>`);
  }

  body() {
    return this.name ? this.one() : this.all();
  }

  all() {
    return html`${grid("Functions", [
      { label: "Function", cell: (f) => html`<a href="#/functions/${encodeURIComponent(f.FunctionName)}">${f.FunctionName}</a>` },
      { label: "State", cell: state },
      { label: "Runtime", cell: (f) => f.Runtime },
      { label: "Memory", num: true, cell: (f) => `${f.MemorySize} MB` },
      { label: "Limit", num: true, cell: (f) => `${f.Timeout} s` },
      { label: "Code", num: true, cell: (f) => bytes(f.CodeSize) },
      { label: "Changed", num: true, cell: (f) => ago(Date.parse(f.LastModified)) },
    ], this.list.rows, html`<p>There is no function yet.</p><button class="main" @click=${this.create}>Create the first one</button>
      <p class="quiet">Or deploy an application: <code>pileus deploy DIR</code></p>`)}
      ${this.list.rows.length ? this.list.nav("Functions") : nothing}`;
  }

  one() {
    const f = this.told.Configuration;
    return html`
      ${facts([
        ["State", html`${state(f)} ${f.StateReason ?? ""}`],
        ["Runtime", `${f.Runtime ?? f.PackageType}, ${(f.Architectures ?? []).join()}`],
        ["Handler", html`<code>${f.Handler}</code>`],
        ["Memory", `${f.MemorySize} MB`],
        ["Time limit", `${f.Timeout} s`],
        ["Role", html`<a href="#/roles/${encodeURIComponent(f.Role.split("/").pop())}">${f.Role.split("/").pop()}</a>`],
        ["Code", bytes(f.CodeSize)],
        ["Layers", (f.Layers ?? []).map((l) => l.Arn.split(":").slice(-2).join(" ")).join(", ")],
        ["Reserved", this.told.Concurrency?.ReservedConcurrentExecutions],
        ["Changed", ago(Date.parse(f.LastModified))],
      ])}
      <section>${tabs("Function", [["test", "Test"], ["settings", "Settings"], ["code", "Code"]], this.tab, (id) => (this.tab = id))}
        ${this.tab === "test" ? this.test() : this.tab === "settings" ? this.settings(f) : this.code(f)}
      </section>`;
  }

  // Events are kept in this browser, by function and name.
  get kept() {
    return JSON.parse(localStorage.getItem(`pileus-events-${this.name}`) ?? "{}");
  }

  test() {
    const kept = this.kept;
    return html`<div class="columns">
      <form class="panel" @submit=${this.invoke}>
        <h2>Test event</h2>
        ${Object.keys(kept).length
          ? html`<div class="field"><label for="kept">Kept events</label><select id="kept" @change=${(e) => e.target.value && (this.querySelector("#event").value = this.kept[e.target.value])}>
              <option value="">choose…</option>${Object.keys(kept).map((name) => html`<option>${name}</option>`)}</select></div>`
          : nothing}
        <div class="field"><label for="event">Event as JSON</label><textarea id="event" name="event" rows="10" spellcheck="false">{}</textarea></div>
        <div class="field"><label for="how">How</label><select id="how" name="how">
          <option value="RequestResponse">wait for the result</option><option value="Event">as an event, in the background</option><option value="DryRun">only check whether I may</option></select></div>
        <div class="acts end"><button type="button" class="plain" @click=${this.keep}>Keep event…</button><button class="main" ?disabled=${this.running}>${this.running ? "Running…" : "Invoke"}</button></div>
      </form>
      <div class="panel" aria-live="polite"><h2>Result</h2>${this.running ? html`<p class="quiet">The function runs…</p>` : this.result ? this.outcome() : html`<p class="quiet">Invoke the function to see what it answers and what it logs.</p>`}</div>
    </div>`;
  }

  outcome() {
    const r = this.result;
    if (r.problem) return trouble(r.problem);
    const good = r.status < 300 && !r.fault;
    return html`<p>${badge(r.fault ? `failed: ${r.fault}` : { 200: "done", 202: "accepted", 204: "allowed" }[r.status] ?? r.status, good ? "good" : "bad")} <span class="quiet">${r.took} ms as seen from here</span></p>
      ${r.payload ? html`<h2>Answer</h2><pre tabindex="0" id="answer">${pretty(r.payload)}</pre>` : nothing}
      ${r.log ? html`<h2>Log</h2><pre tabindex="0" id="tail">${r.log}</pre>` : nothing}`;
  }

  invoke = async (event) => {
    event.preventDefault();
    const { event: body, how } = Object.fromEntries(new FormData(event.target));
    try {
      JSON.parse(body);
    } catch (error) {
      this.result = { problem: new Error(`The event is no JSON: ${error.message}`) };
      return;
    }
    this.running = true;
    const began = performance.now();
    try {
      const headers = { "x-amz-invocation-type": how, ...(how === "RequestResponse" ? { "x-amz-log-type": "Tail" } : {}) };
      const answer = await this.client.done("lambda", "POST", path(this.name, "/invocations"), { headers, body, patience: PATIENCE, signal: this.leaving.signal });
      const log = answer.headers.get("x-amz-log-result");
      this.result = {
        status: answer.status,
        fault: answer.headers.get("x-amz-function-error"),
        payload: await textOf(answer),
        log: log ? new TextDecoder().decode(unbase64(log)) : "",
        took: Math.round(performance.now() - began),
      };
    } catch (error) {
      this.result = { problem: error };
    } finally {
      this.running = false;
    }
  };

  keep = async () => {
    const text = this.querySelector("#event").value;
    await fill({
      title: "Keep this event", text: "In this browser, for this function.", action: "Keep",
      fields: [{ name: "name", label: "Name", placeholder: "an order" }],
      save: async ({ name }) => localStorage.setItem(`pileus-events-${this.name}`, JSON.stringify({ ...this.kept, [name]: text })),
    });
    this.requestUpdate();
  };

  settings(f) {
    const variables = Object.entries(f.Environment?.Variables ?? {});
    return html`<div class="acts"><button @click=${this.change}>Change settings</button></div>
      <h2 class="gap">Environment</h2>
      ${grid("Environment", [{ label: "Variable", cell: ([name]) => html`<code>${name}</code>` }, { label: "Value", cell: ([, value]) => html`<code>${value}</code>` }], variables, "No variable is set.")}`;
  }

  change = async () => {
    const f = this.told.Configuration;
    const done = await fill({
      title: `Settings of ${this.name}`, action: "Save",
      fields: [
        { name: "Description", label: "Description", value: f.Description, optional: true },
        { name: "Handler", label: "Handler", value: f.Handler },
        { name: "MemorySize", label: "Memory, MB", type: "number", value: f.MemorySize },
        { name: "Timeout", label: "Time limit, seconds", type: "number", value: f.Timeout },
        { name: "Layers", label: "Layers", value: (f.Layers ?? []).map((l) => l.Arn).join(" "), optional: true, hint: "ARNs of layer versions, in their order; the Layers page lists them." },
        { name: "Variables", label: "Environment as JSON", rows: 6, value: JSON.stringify(f.Environment?.Variables ?? {}, null, 2) },
      ],
      save: ({ Description, Handler, MemorySize, Timeout, Layers, Variables }) =>
        this.client.rest("lambda", "PUT", path(this.name, "/configuration"), {
          input: { Description, Handler, MemorySize: Number(MemorySize), Timeout: Number(Timeout), Layers: Layers.split(/[\s,]+/).filter(Boolean), Environment: { Variables: JSON.parse(Variables) } },
        }),
    });
    if (!done) return;
    this.app.say("Settings saved");
    await this.refresh();
  };

  code(f) {
    return html`${facts([["Size", bytes(f.CodeSize)], ["SHA-256", html`<code>${f.CodeSha256}</code>`], ["Version", f.Version]])}
      <div class="acts gap"><button @click=${this.upload}>Upload a zip…</button></div>`;
  }

  upload = () => {
    const chosen = Object.assign(document.createElement("input"), { type: "file", accept: ".zip" });
    chosen.addEventListener("change", async () => {
      const file = chosen.files[0];
      if (!file) return;
      const done = await this.act(async () => this.client.rest("lambda", "PUT", path(this.name, "/code"), { input: { ZipFile: await inBase64(file) }, patience: 120_000 }), "Code stored");
      if (done) await this.refresh();
    });
    chosen.click();
  };

  create = async () => {
    const roles = await this.act(async () => [].concat((await this.client.iam("ListRoles", { MaxItems: "200" })).Roles?.member ?? []));
    if (!roles) return;
    if (!roles.length) {
      this.problem = new Error("A function runs as a role, and there is none yet: create one on the Roles page first.");
      return;
    }
    const made = await fill({
      title: "Create a function", action: "Create function", text: "Its code comes as a zip; here, or later on its page.",
      fields: [
        { name: "FunctionName", label: "Name", placeholder: "hello" },
        { name: "Runtime", label: "Runtime", choices: RUNTIMES, value: "python3.12" },
        { name: "Handler", label: "Handler", value: "index.handler", hint: "FILE.FUNCTION within the zip" },
        { name: "Role", label: "Role", choices: roles.map((r) => [r.Arn, r.RoleName]) },
        { name: "zip", label: "Code (.zip)", type: "file" },
      ],
      save: async ({ zip, ...input }) => this.client.rest("lambda", "POST", BASE, { input: { ...input, Code: { ZipFile: await inBase64(zip) } }, patience: 120_000 }),
    });
    if (made) this.app.go(`#/functions/${encodeURIComponent(made.FunctionName)}`);
  };

  discard = async () => {
    const sure = await ask({ title: `Delete function ${this.name}?`, text: "Its versions and aliases go with it; its log stays.", action: "Delete function", danger: true, word: this.name });
    if (!sure) return;
    if (await this.act(() => this.client.rest("lambda", "DELETE", path(this.name)), `${this.name} deleted`)) this.app.go("#/functions");
  };
}

export const inBase64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(reader.error);
  reader.readAsDataURL(file);
});

customElements.define("pl-functions", Functions);
