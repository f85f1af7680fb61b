// Log groups, their streams, and lines as they come.
import { html, nothing } from "lit";
import { ask } from "../shell/dialogs.js";
import { ago, bytes, clock, moment } from "../shell/format.js";
import { grid, tabs } from "../shell/grid.js";
import { MISSING } from "../aws/client.js";
import { Page, absent } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const SPANS = [[300, "5 min"], [3600, "1 h"], [86400, "1 d"], [7 * 86400, "7 d"]];
const KEPT = 2000;
const BACK_MS = 10_000; // lines may come a little late, and nodes' clocks differ
const wrong = (text) => /\b(error|exception|traceback|fatal|timed out)\b/i.test(text);

class Logs extends Page {
  static properties = { tab: { state: true }, live: { state: true }, lines: { state: true }, span: { state: true }, more: { state: true }, missing: { state: true } };

  reset() {
    Object.assign(this, { tab: "lines", live: true, lines: [], span: 3600, pattern: "", known: new Set(), since: 0, stream: null, more: false, missing: null });
    this.groups = new Paged(this, async (nextToken, limit) => {
      const told = await this.client.logs("DescribeLogGroups", { limit, nextToken, ...(this.begins ? { logGroupNamePattern: this.begins } : {}) });
      return { rows: told.logGroups, next: told.nextToken };
    });
    this.streams = new Paged(this, async (nextToken, limit) => {
      const told = await this.client.logs("DescribeLogStreams", { logGroupName: this.group, limit, nextToken, orderBy: "LastEventTime", descending: true });
      return { rows: told.logStreams, next: told.nextToken };
    });
  }

  get group() {
    return this.args[0];
  }

  get every() {
    return this.group && this.tab === "lines" && this.live ? 1000 : 0;
  }

  async load() {
    if (!this.group) return this.groups.again();
    if (this.tab === "streams") return this.streams.again();
    await this.follow();
  }

  // What has come since the last look; at first, the span asked for.
  async follow() {
    const first = !this.since;
    const input = { logGroupName: this.group, startTime: first ? Date.now() + this.client.skew - this.span * 1000 : this.since - BACK_MS };
    if (this.pattern) input.filterPattern = this.pattern;
    if (this.stream) input.logStreamNames = [this.stream];
    const fresh = [];
    let nextToken;
    let pages = 0;
    do {
      const told = await this.client.logs("FilterLogEvents", { ...input, nextToken, limit: 1000 }, { signal: this.leaving.signal });
      this.missing = told[MISSING];
      fresh.push(...told.events.filter((e) => !this.known.has(e.eventId)));
      nextToken = told.nextToken;
    } while (nextToken && ++pages < 10);
    this.more = Boolean(nextToken);
    this.since = Math.max(this.since || input.startTime, ...fresh.map((e) => e.timestamp));
    if (!fresh.length) return;
    const box = this.querySelector(".log");
    const below = !box || box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    this.lines = [...this.lines, ...fresh].sort((a, b) => a.timestamp - b.timestamp).slice(-KEPT);
    this.known = new Set(this.lines.map((e) => e.eventId));
    if (below) this.updateComplete.then(() => this.querySelector(".log")?.scrollTo(0, 1e9));
  }

  async restart() {
    Object.assign(this, { lines: [], known: new Set(), since: 0 });
    await this.refresh();
  }

  head() {
    if (!this.group) return this.heading("Logs");
    return this.heading(this.group, html`<button class="danger" @click=${this.discard}>Delete group</button>`, nothing, html`<a class="up" href="#/logs">← Logs</a>`);
  }

  body() {
    if (!this.group) {
      return html`<form class="search" @submit=${this.jump}><div class="field"><label for="begins">Names that hold</label><input id="begins" name="begins" placeholder="anything" autocomplete="off" spellcheck="false" /></div><button>Find</button></form>
      ${grid("Log groups", [
        { label: "Group", cell: (g) => html`<a href="#/logs/${encodeURIComponent(g.logGroupName)}">${g.logGroupName}</a>` },
        { label: "Stored", num: true, cell: (g) => bytes(g.storedBytes) },
        { label: "Kept for", cell: (g) => (g.retentionInDays ? `${g.retentionInDays} days` : "ever") },
        { label: "Made", cell: (g) => ago(g.creationTime) },
      ], this.groups.rows, this.begins ? "No group has such a name." : html`<p>There is no log group yet. A function's group appears at its first run.</p>`)}
      ${this.groups.rows.length ? this.groups.nav("Groups") : nothing}`;
    }
    return html`${tabs("Log group", [["lines", "Lines"], ["streams", "Streams"]], this.tab, (id) => ((this.tab = id), this.refresh()))}
      ${this.tab === "lines" ? this.tail() : this.list()}`;
  }

  jump = async (event) => {
    event.preventDefault();
    this.begins = event.target.elements.begins.value;
    await this.act(() => this.groups.first());
  };

  list() {
    return html`${grid("Streams", [
      { label: "Stream", cell: (s) => html`<button class="link" @click=${() => this.open(s.logStreamName)}>${s.logStreamName}</button>` },
      { label: "Last line", cell: (s) => html`<span title=${moment(s.lastEventTimestamp)}>${ago(s.lastEventTimestamp)}</span>` },
      { label: "First line", cell: (s) => ago(s.firstEventTimestamp) },
    ], this.streams.rows, "This group has no stream yet.")}${this.streams.nav("Streams")}`;
  }

  open(stream) {
    Object.assign(this, { stream, tab: "lines" });
    this.restart();
  }

  tail() {
    return html`
      <form class="search" @submit=${this.filter}>
        <div class="field"><label for="pattern">Filter pattern</label><input id="pattern" name="pattern" placeholder='ERROR, ?a ?b, { $.level = "warn" }' autocomplete="off" spellcheck="false" /></div>
        <div class="field narrow"><label for="span">Since</label><select id="span" name="span">${SPANS.map(([s, label]) => html`<option value=${s} ?selected=${s === this.span}>${label}</option>`)}</select></div>
        <button>Filter</button>
        <button type="button" aria-pressed=${this.live} class=${this.live ? "main" : ""} @click=${() => ((this.live = !this.live), this.refresh(true))}>${this.live ? "Live: on" : "Live: off"}</button>
      </form>
      ${this.stream ? html`<p class="hint">Stream ${this.stream} <button class="link" @click=${() => this.open(null)}>show all streams</button></p>` : nothing}
      ${absent(this.missing)}
      <div class="log" tabindex="0" role="log" aria-label="Lines">
        ${this.lines.length
          ? this.lines.map((e) => html`<p class=${wrong(e.message) ? "bad" : ""}><time title=${`${moment(e.timestamp)} ${e.logStreamName}`}>${clock(e.timestamp)}</time><span>${e.message.trimEnd()}</span></p>`)
          : html`<p><span></span><span class="quiet">${this.pattern ? "No line matches" : "No line"} since ${SPANS.find(([s]) => s === this.span)[1]}.${this.live ? " New ones appear here." : ""}</span></p>`}
      </div>
      <p class="hint">${this.lines.length} lines${this.more ? "; there are more: take a shorter span or a pattern" : ""}${this.lines.length === KEPT ? ` (the last ${KEPT})` : ""}.</p>`;
  }

  filter = (event) => {
    event.preventDefault();
    const told = Object.fromEntries(new FormData(event.target));
    Object.assign(this, { pattern: told.pattern, span: Number(told.span) });
    this.restart();
  };

  discard = async () => {
    const sure = await ask({ title: "Delete this log group?", text: html`Every line of <code>${this.group}</code> goes with it.`, action: "Delete group", danger: true });
    if (!sure) return;
    if (await this.act(() => this.client.logs("DeleteLogGroup", { logGroupName: this.group }), "Log group deleted")) this.app.go("#/logs");
  };
}

customElements.define("pl-logs", Logs);
