// Long-running services: how their copies are, and what they may be told.
import { html, nothing } from "lit";
import { ask } from "../shell/dialogs.js";
import { ago, bytes } from "../shell/format.js";
import { badge, facts, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const BASE = "/_pileus/services";
const KIND = { RUNNING: "good", STARTING: "warn", UPDATING: "warn", DEGRADED: "warn", STOPPING: "warn", STOPPED: "off", FAILING: "bad", UNKNOWN: "bad", HEALTHY: "good", UNHEALTHY: "bad" };
const state = (word) => badge(word.toLowerCase(), KIND[word] ?? "warn");
const links = (endpoints) => Object.values(endpoints ?? {}).flat().filter((e) => /^https?:/.test(e)).map((e) => e.includes(".internal") ? html`<code>${e}</code> ` : html`<a href=${e} target="_blank" rel="noopener">${e}</a> `);

class Services extends Page {
  static properties = { told: { state: true } };

  reset() {
    this.told = null;
    this.list = new Paged(this, async (token, size) => {
      const told = await this.client.rest("pileus", "GET", BASE, { query: [["MaxResults", String(size)], ...(token ? [["NextToken", token]] : [])] });
      return { rows: told.Services, next: told.NextToken };
    });
  }

  get every() {
    return 3000;
  }

  async load() {
    const [name] = this.args;
    if (!name) return this.list.again();
    const told = await this.client.rest("pileus", "GET", `${BASE}/${encodeURIComponent(name)}`);
    this.told = told.Services?.[0] ?? told.Service ?? told;
  }

  head() {
    if (!this.args[0]) return this.heading("Services", nothing, "Programs that run on: started in the jail, watched, replaced when they hang.");
    const verbs = this.told?.Status === "STOPPED" ? ["start"] : ["restart", "stop"];
    return this.heading(this.args[0], html`${verbs.map((verb) => html`<button @click=${() => this.order(verb)}>${verb[0].toUpperCase()}${verb.slice(1)}</button>`)}
      <a class="button" href="#/logs/${encodeURIComponent(this.told?.LogGroup ?? "")}">Log</a>`, nothing, html`<a class="up" href="#/services">← Services</a>`);
  }

  body() {
    return this.args[0] ? this.one() : html`${grid("Services", [
      { label: "Service", cell: (s) => html`<a href="#/services/${encodeURIComponent(s.Name)}">${s.Name}</a>` },
      { label: "State", cell: (s) => html`<div>${state(s.Status)}${s.StatusReason ? html`<div class="hint">${s.StatusReason}</div>` : nothing}</div>` },
      { label: "Copies well", num: true, cell: (s) => `${s.HealthyCopies} of ${s.Copies ?? s.CopyStates.length}` },
      { label: "Address", cell: (s) => links(s.Endpoints) },
      { label: "Changed", cell: (s) => ago(Date.parse(s.LastModified)) },
    ], this.list.rows, html`<p>There is no long-running service yet.</p><p class="quiet">Declare one in a template as <code>Pileus::Service</code>, or see docs/operations.md.</p>`)}
    ${this.list.rows.length ? this.list.nav("Services") : nothing}`;
  }

  one() {
    const s = this.told;
    const away = s.Downtime ?? {};
    return html`${facts([
      ["State", html`${state(s.Status)} ${s.StatusReason ?? ""}`, Boolean(s.StatusReason)],
      ["Copies well", `${s.HealthyCopies} of ${s.Copies ?? s.CopyStates.length}`],
      ["Address", links(s.Endpoints), true],
      ["Longest away", `${Number(away.LongestSeconds ?? 0).toFixed(1)} s of ${away.LongestAllowedSeconds} s allowed`],
      ["Code", bytes(s.CodeSize)],
      ["Revision", s.Revision],
      ["Changed", ago(Date.parse(s.LastModified))],
    ])}
    <section><h2>Copies</h2>${grid("Copies", [
      { label: "Copy", cell: (c) => c.Id },
      { label: "State", cell: (c) => state(c.State) },
      { label: "Node", cell: (c) => c.Node },
      { label: "Since", cell: (c) => ago(Date.parse(c.Since)) },
      { label: "Restarts", num: true, cell: (c) => String(c.Restarts) },
      { label: "Failed checks", num: true, cell: (c) => String(c.HealthFailures) },
    ], s.CopyStates, "No copy runs.")}</section>
    <section><h2>Ended lately</h2>${grid("Ends", [
      { label: "When", cell: (e) => ago(Date.parse(e.At)) },
      { label: "Copy", cell: (e) => String(e.Copy) },
      { label: "Why", cell: (e) => e.Reason },
    ], s.LastExits ?? [], "No copy ended.")}</section>`;
  }

  async order(verb) {
    const name = this.args[0];
    if (verb !== "start") {
      const text = verb === "stop" ? "It stays down until somebody starts it." : "Its copies are replaced one after the other.";
      if (!(await ask({ title: `${verb[0].toUpperCase()}${verb.slice(1)} ${name}?`, text, action: verb[0].toUpperCase() + verb.slice(1), danger: verb === "stop" }))) return;
    }
    const done = await this.act(() => this.client.rest("pileus", "POST", `${BASE}/${encodeURIComponent(name)}/${verb}`, { input: {} }), `${name}: ${verb} is under way`);
    if (done) await this.refresh(true);
  }
}

customElements.define("pl-services", Services);
