// The state as it lies on the disk: rows of every table, read only.
import { html, nothing } from "lit";
import { bytes, unbase64 } from "../shell/format.js";
import { grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged, whole } from "../shell/paged.js";
import { glance, showValue } from "../shell/value.js";

const MEANS = {
  iam: "identities and policies", kms: "keys", vault: "wrapped keys", ssm: "parameters", lambda: "functions", lambdaevents: "events for functions", apigateway: "APIs", cfn: "stacks", longrunning: "services",
  dynamodb: "DynamoDB tables and their settings", s3: "buckets and settings", s3o: "objects", s3v: "older versions and delete markers", s3n: "where null versions lie", s3u: "uploads under way", s3p: "parts of uploads",
  s3l: "how far lifecycle rules have come", s3c: "what buckets hold, counted", s3r: "restores", s3k: "wrapped keys of buckets", blobrefs: "who names which blob", logs: "log groups and streams", logstreams: "log streams",
  changes: "change records", hub: "who works off what", hubqueue: "work that waits", hubdead: "work that was given up", nodes: "members of the cluster", tablets: "the map of tablets", moves: "tablets on their way", txn: "transactions between shards",
};
const KINDS = { "kv:": "a wide table", "d:": "items of a DynamoDB table" };
const means = (name) => MEANS[name] ?? Object.entries(KINDS).find(([start]) => name.startsWith(start))?.[1] ?? "";

// A composite sort key (parts ended by 00 01) in words, where its parts are text.
function readable(part) {
  if (!part.startsWith("hex:")) return part;
  const bytes = Uint8Array.from(part.slice(4).match(/../g) ?? [], (h) => parseInt(h, 16));
  const parts = [[]];
  for (let at = 0; at < bytes.length; at++) {
    if (bytes[at] === 0 && bytes[at + 1] === 1) parts.push([]), at++;
    else parts.at(-1).push(bytes[at]);
  }
  const shown = parts.filter((p) => p.length).map((p) => String.fromCharCode(...p));
  return parts.length > 1 && shown.every((p) => /^[\x20-\x7e]+$/.test(p)) ? shown.join(" ▸ ") : part;
}

class Rows extends Page {
  reset() {
    this.where = null;
    this.tables = new Paged(this, async (token, size) => whole(this.names ?? [])(token, size), 20);
    this.rows = new Paged(this, (token, size) => this.page(token, size));
  }

  get table() {
    return this.args[0];
  }

  async load() {
    if (this.table) return this.rows.again();
    this.names = (await this.client.rest("pileus", "GET", "/_pileus/rows")).tables;
    return this.tables.again();
  }

  async page(token, size) {
    const query = [["limit", String(size)], ...Object.entries(this.where ?? {})];
    if (token) query.push(["after", token]);
    const told = await this.client.rest("pileus", "GET", `/_pileus/rows/${encodeURIComponent(this.table)}`, { query });
    for (const row of told.rows) row.data = row.hidden ? null : unbase64(row.value);
    return told;
  }

  head() {
    if (!this.table) return this.heading("Raw rows", nothing, "Every table of the state, read only. Rows that hold secrets are listed; what they hold is not told.");
    return this.heading(this.table, nothing, nothing, html`<a class="up" href="#/rows">← Raw rows</a>`);
  }

  body() {
    if (!this.table) {
      return html`${grid("Tables of the state", [
        { label: "Table", cell: (name) => html`<a href="#/rows/${encodeURIComponent(name)}">${name}</a>` },
        { label: "Holds", quiet: true, cell: means },
      ], this.tables.rows)}${this.tables.nav("Tables")}`;
    }
    return html`
      <form class="search" @submit=${this.jump}>
        <div class="field"><label for="partition">Partition</label><input id="partition" name="partition" placeholder="all" autocomplete="off" spellcheck="false" /></div>
        <div class="field"><label for="prefix">Sort key begins with</label><input id="prefix" name="prefix" placeholder="anything" autocomplete="off" spellcheck="false" /></div>
        <button>Jump</button>
        ${this.where ? html`<button type="button" class="plain" @click=${this.all}>Show all</button>` : nothing}
      </form>
      ${grid("Rows", [
        { label: "Partition", cell: (r) => html`<code class="whole">${r.partition || "(empty)"}</code>` },
        { label: "Sort key", cell: (r) => html`<code title=${r.sort}>${readable(r.sort)}</code>` },
        { label: "Value", cell: (r) => (r.hidden ? html`<span class="quiet">hidden: a secret</span>` : html`<button class="link mono" @click=${() => this.view(r)}>${glance(r.data, 60)}</button>`) },
        { label: "Size", num: true, cell: (r) => bytes(r.size) },
        { label: "Entry", num: true, cell: (r) => r.version },
      ], this.rows.rows, this.where ? "No row begins so." : "This table holds no row now.")}
      ${this.rows.nav("Rows")}`;
  }

  view(row) {
    return showValue(`${row.partition}/${readable(row.sort)}`, row.data, { full: row.size });
  }

  jump = async (event) => {
    event.preventDefault();
    const told = Object.fromEntries([...new FormData(event.target)].filter(([, value]) => value));
    if (told.prefix && !told.partition) {
      this.problem = new Error("Rows sort within their partition: enter the partition, too.");
      return;
    }
    this.where = Object.keys(told).length ? told : null;
    await this.act(() => this.rows.first());
  };

  all = async () => {
    this.where = null;
    this.querySelector(".search").reset();
    await this.act(() => this.rows.first());
  };
}

customElements.define("pl-rows", Rows);
