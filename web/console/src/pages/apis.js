// HTTP APIs: routes, integrations, stages, CORS.
import { html, nothing } from "lit";
import { ask, fill } from "../shell/dialogs.js";
import { ago } from "../shell/format.js";
import { facts, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const words = (list) => (list ?? []).join(", ");
const split = (text) => text.split(/[\s,]+/).filter(Boolean);

class Apis extends Page {
  static properties = { told: { state: true } };

  reset() {
    this.told = null;
    this.list = new Paged(this, async (token, size) => {
      const told = await this.client.rest("apigateway", "GET", "/v2/apis", { query: [["maxResults", String(size)], ...(token ? [["nextToken", token]] : [])] });
      return { rows: told.items ?? [], next: told.nextToken };
    });
  }


  async load() {
    if (!this.args[0]) return this.list.again();
    const base = `/v2/apis/${encodeURIComponent(this.args[0])}`;
    const many = async (what) => (await this.client.rest("apigateway", "GET", `${base}/${what}`, { query: [["maxResults", "200"]] })).items ?? [];
    const [api, routes, integrations, stages] = await Promise.all([this.client.rest("apigateway", "GET", base), many("routes"), many("integrations"), many("stages")]);
    this.told = { api, routes, integrations, stages };
  }

  head() {
    if (!this.args[0]) return this.heading("APIs", html`<button class="main" @click=${this.create}>Create API</button>`);
    return this.heading(this.told?.api.name ?? "API", html`<button @click=${this.addRoute}>Add route</button><button @click=${this.cors}>CORS…</button><button class="danger" @click=${this.discard}>Delete</button>`,
      nothing, html`<a class="up" href="#/apis">← APIs</a>`);
  }

  body() {
    return this.args[0] ? this.one() : this.all();
  }

  all() {
    return html`${grid("APIs", [
      { label: "API", cell: (a) => html`<a href="#/apis/${a.apiId}">${a.name}</a>` },
      { label: "Kind", cell: (a) => a.protocolType },
      { label: "Address", cell: (a) => html`<a href=${a.apiEndpoint} target="_blank" rel="noopener">${a.apiEndpoint}</a>` },
      { label: "CORS", cell: (a) => words(a.corsConfiguration?.allowOrigins) },
      { label: "Made", cell: (a) => ago(Date.parse(a.createdDate)) },
    ], this.list.rows, html`<p>There is no API yet.</p><button class="main" @click=${this.create}>Create the first one</button><p class="quiet">Or deploy an application: <code>pileus deploy DIR</code></p>`)}
    ${this.list.rows.length ? this.list.nav("APIs") : nothing}`;
  }

  one() {
    const { api, routes, integrations, stages } = this.told;
    const target = (route) => {
      const found = integrations.find((i) => route.target === `integrations/${i.integrationId}`);
      const name = found?.integrationUri?.match(/:function:([^:/]+)/)?.[1];
      return name ? html`<a href="#/functions/${encodeURIComponent(name)}">${name}</a>` : found?.integrationUri ?? route.target;
    };
    const c = api.corsConfiguration;
    return html`${facts([
      ["Id", html`<code>${api.apiId}</code>`],
      ["Kind", api.protocolType],
      ["Address", html`<a href=${api.apiEndpoint} target="_blank" rel="noopener">${api.apiEndpoint}</a>`, true],
      ["CORS origins", words(c?.allowOrigins)],
      ["CORS methods", words(c?.allowMethods)],
      ["CORS headers", words(c?.allowHeaders)],
    ])}
    <section><h2>Routes</h2>${grid("Routes", [
      { label: "Route", cell: (r) => html`<code>${r.routeKey}</code>` },
      { label: "Goes to", cell: target },
      { label: "Authorization", cell: (r) => (r.authorizationType === "NONE" ? "" : r.authorizationType) },
      { label: "", cell: (r) => html`<button class="plain small" aria-label="Delete route ${r.routeKey}" @click=${() => this.dropRoute(r)}>Delete</button>` },
    ], routes, html`<p>This API has no route.</p><button class="main" @click=${this.addRoute}>Add the first one</button>`)}</section>
    <section><h2>Stages</h2>${grid("Stages", [
      { label: "Stage", cell: (s) => s.stageName },
      { label: "Deploys by itself", cell: (s) => (s.autoDeploy ? "yes" : "no") },
      { label: "Variables", cell: (s) => Object.entries(s.stageVariables ?? {}).map(([k, v]) => `${k}=${v}`).join(", ") },
      { label: "Requests a second", num: true, cell: (s) => s.defaultRouteSettings?.throttlingRateLimit },
      { label: "Changed", cell: (s) => ago(Date.parse(s.lastUpdatedDate)) },
    ], stages, "This API has no stage: nothing answers at its address.")}</section>`;
  }

  create = async () => {
    const made = await fill({
      title: "Create an HTTP API", action: "Create API",
      fields: [{ name: "name", label: "Name", placeholder: "shop" }],
      save: async ({ name }) => {
        const api = await this.client.rest("apigateway", "POST", "/v2/apis", { input: { name, protocolType: "HTTP" } });
        await this.client.rest("apigateway", "POST", `/v2/apis/${api.apiId}/stages`, { input: { stageName: "$default", autoDeploy: true } });
        return api;
      },
    });
    if (made) this.app.go(`#/apis/${made.apiId}`);
  };

  addRoute = async () => {
    const told = await this.act(() => this.client.rest("lambda", "GET", "/2015-03-31/functions", { query: [["MaxItems", "50"]] }));
    if (!told) return;
    if (!told.Functions.length) {
      this.problem = new Error("A route goes to a function, and there is none yet: create one on the Functions page first.");
      return;
    }
    const { api } = this.told;
    const done = await fill({
      title: "Add a route", action: "Add route", text: "The API gets the right to invoke the function.",
      fields: [
        { name: "routeKey", label: "Route", value: "GET /", hint: "METHOD /path/{part}, or $default" },
        { name: "arn", label: "Function", choices: told.Functions.map((f) => [f.FunctionArn, f.FunctionName]) },
      ],
      save: async ({ routeKey, arn }) => {
        const base = `/v2/apis/${api.apiId}`;
        const made = await this.client.rest("apigateway", "POST", `${base}/integrations`, { input: { integrationType: "AWS_PROXY", integrationUri: arn, payloadFormatVersion: "2.0" } });
        await this.client.rest("apigateway", "POST", `${base}/routes`, { input: { routeKey, target: `integrations/${made.integrationId}` } });
        const SourceArn = `arn:aws:execute-api:${this.client.region}:${this.app.session.who.Account}:${api.apiId}/*`;
        const input = { StatementId: `api-${api.apiId}`, Action: "lambda:InvokeFunction", Principal: "apigateway.amazonaws.com", SourceArn };
        await this.client.rest("lambda", "POST", `/2015-03-31/functions/${encodeURIComponent(arn)}/policy`, { input }).catch((error) => {
          if (error.code !== "ResourceConflictException") throw error; // it has the right already
        });
      },
    });
    if (!done) return;
    this.app.say("Route added");
    await this.refresh();
  };

  dropRoute = async (route) => {
    if (!(await ask({ title: "Delete this route?", text: html`<code>${route.routeKey}</code>`, action: "Delete route", danger: true }))) return;
    const done = await this.act(() => this.client.rest("apigateway", "DELETE", `/v2/apis/${this.args[0]}/routes/${route.routeId}`), "Route deleted");
    if (done) await this.refresh(true);
  };

  cors = async () => {
    const c = this.told.api.corsConfiguration ?? {};
    const done = await fill({
      title: "CORS", text: "Which pages of other origins may call this API. Leave the origins empty for none.", action: "Save",
      fields: [
        { name: "allowOrigins", label: "Origins", value: words(c.allowOrigins), optional: true, placeholder: "https://example.org, *" },
        { name: "allowMethods", label: "Methods", value: words(c.allowMethods) || "GET, POST", optional: true },
        { name: "allowHeaders", label: "Headers", value: words(c.allowHeaders) || "content-type", optional: true },
      ],
      save: async ({ allowOrigins, allowMethods, allowHeaders }) => {
        const base = `/v2/apis/${this.args[0]}`;
        if (!split(allowOrigins).length) return this.client.rest("apigateway", "DELETE", `${base}/cors`);
        const corsConfiguration = { allowOrigins: split(allowOrigins), allowMethods: split(allowMethods), allowHeaders: split(allowHeaders) };
        return this.client.rest("apigateway", "PATCH", base, { input: { corsConfiguration } });
      },
    });
    if (!done) return;
    this.app.say("CORS saved");
    await this.refresh();
  };

  discard = async () => {
    const { api } = this.told;
    if (!(await ask({ title: `Delete API ${api.name}?`, text: "Its address stops to answer.", action: "Delete API", danger: true, word: api.name }))) return;
    if (await this.act(() => this.client.rest("apigateway", "DELETE", `/v2/apis/${api.apiId}`), `${api.name} deleted`)) this.app.go("#/apis");
  };
}

customElements.define("pl-apis", Apis);
