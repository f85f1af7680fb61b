// What went wrong lately: in functions, and in the cloud itself.
import { html, nothing } from "lit";
import { ago, moment } from "../shell/format.js";
import { MISSING } from "../aws/client.js";
import { Page, absent, trouble } from "../shell/page.js";
import { Paged, whole } from "../shell/paged.js";

const HOUR_MS = 3_600_000;
const GROUPS = 50;
const EACH = 20;
const PATTERN = '?ERROR ?Error ?Exception ?Traceback ?"Task timed out" ?"Status: error" ?"Status: timeout"';

class Errors extends Page {
  static properties = { functions: { state: true }, cloud: { state: true }, refused: { state: true } };

  reset() {
    Object.assign(this, { functions: [], cloud: [], refused: [] });
    this.failed = new Paged(this, (token, size) => whole(this.functions)(token, size));
    this.warned = new Paged(this, (token, size) => whole(this.cloud)(token, size));
  }

  get every() {
    return 10_000;
  }

  async load() {
    const told = await Promise.allSettled([this.ofFunctions(), this.ofCloud()]);
    [this.functions, this.cloud] = told.map((t) => t.value?.events ?? []);
    this.missing = Object.assign({}, ...told.map((t) => t.value?.missing));
    this.refused = told.filter((t) => t.reason).map((t) => t.reason);
    if (this.refused.length === told.length) throw this.refused[0];
    await Promise.all([this.failed, this.warned].map((list) => list.again()));
  }

  async ofFunctions() {
    const { logGroups } = await this.client.logs("DescribeLogGroups", { limit: GROUPS });
    const startTime = Date.now() + this.client.skew - HOUR_MS;
    const missing = {};
    const told = await Promise.all(logGroups.map(async ({ logGroupName }) => {
      const { events, ...rest } = await this.client.logs("FilterLogEvents", { logGroupName, startTime, filterPattern: PATTERN, limit: 200 });
      Object.assign(missing, rest[MISSING]);
      return events.slice(-EACH).map((e) => ({ at: e.timestamp, where: logGroupName, text: e.message.trimEnd(), level: "error" }));
    }));
    return { events: told.flat().sort((a, b) => b.at - a.at), missing };
  }

  async ofCloud() {
    const { events, missing } = await this.client.rest("pileus", "GET", "/_pileus/log", { query: [["limit", "100"], ["node", "all"]] });
    return { events: events.map((e) => ({ ...e, process: e.node ? `${e.node}, ${e.process}` : e.process })), missing };
  }

  head() {
    return this.heading("Recent errors", nothing, "Of functions in the last hour, and what the cloud's own processes warned of.");
  }

  body() {
    return html`${this.refused.map((error) => trouble(error))}${absent(this.missing)}
      <section class="first"><h2>Functions</h2>${this.functions.length
        ? html`<ul class="events">${this.failed.rows.map((e) => html`<li class="error"><div class="bar"><a href="#/logs/${encodeURIComponent(e.where)}">${e.where}</a><span title=${moment(e.at)}>${ago(e.at)}</span></div><pre tabindex="0" aria-label="Error">${e.text}</pre></li>`)}</ul>${this.failed.nav("Errors")}`
        : html`<div class="empty">No function reported an error in the last hour.</div>`}</section>
      <section><h2>The cloud</h2>${this.cloud.length
        ? html`<ul class="events">${this.warned.rows.map((e) => html`<li class=${e.level === "WARNING" ? "" : "error"}><div class="bar"><b>${e.process}</b><span>${e.level.toLowerCase()}</span><span>${e.at}</span><span>${e.source}</span></div><pre tabindex="0" aria-label="Message">${e.text}</pre></li>`)}</ul>${this.warned.nav("Messages")}`
        : html`<div class="empty">The cloud's processes have nothing to complain of.</div>`}</section>`;
  }
}

customElements.define("pl-errors", Errors);
