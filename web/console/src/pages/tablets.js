// Which ranges of keys lie where, and how large they are.
import { html, nothing } from "lit";
import { bytes, number } from "../shell/format.js";
import { facts, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged, whole } from "../shell/paged.js";

const edge = (place, open) => (place.table ? [place.table, place.partition, place.sort].filter(Boolean).join(" / ") : open);

class Tablets extends Page {
  static properties = { told: { state: true }, empty: { state: true } };

  reset() {
    this.empty = false;
    this.map = new Paged(this, (token, size) => whole(this.shown)(token, size));
    this.tables = new Paged(this, (token, size) => whole([...(this.told?.tables ?? [])].sort((a, b) => b.bytes - a.bytes))(token, size));
  }

  async load() {
    this.told = await this.client.rest("pileus", "GET", "/_pileus/tablets", { query: [["sizes", "1"]] });
    this.kept = await this.keepers();
    await this.tables.again();
    await this.map.again();
  }

  // A new cloud has a tablet for each shard and kind of row, nearly all of them without a row yet.
  get shown() {
    const all = this.told?.tablets ?? [];
    const held = all.filter((t) => t.rows !== 0 || t.to !== null);
    return this.empty || !held.length ? all : held;
  }

  async choose() {
    this.empty = !this.empty;
    await this.map.first();
  }

  // Which nodes hold the rows, and which one leads their log; nothing on one machine, or for who may not know.
  async keepers() {
    try {
      const { nodes } = await this.client.rest("pileus", "GET", "/_pileus/nodes");
      return nodes.filter((n) => n.state !== "joining");
    } catch (error) {
      if (error.status === 403 || error.status === 404) return [];
      throw error;
    }
  }

  places() {
    const leads = (n) => (n.logs ? ` (leads ${n.logs.leads} of ${n.logs.of} logs)` : n.roles.includes("log-leader") ? " (leads the log)" : "");
    const state = (n) => (n.health === "down" ? " (down)" : leads(n));
    return this.kept.map((n, at) => html`${at ? ", " : ""}<a href="#/nodes/${n.name}">${n.name}</a>${state(n)}`);
  }

  head() {
    return this.heading("Tablets", nothing, "A tablet is a range of keys. It splits when it outgrows 2 GiB, inside one huge partition too.");
  }

  body() {
    const { shards, tablets, tables, epoch } = this.told;
    const counted = tablets.every((t) => t.bytes !== null);
    const all = counted ? tablets.reduce((sum, t) => sum + t.bytes, 0) : null;
    return html`
      ${facts([["Tablets", number(tablets.length)], ["Shards", shards.length], ["Version of the map", epoch], ["Rows", counted ? number(tablets.reduce((sum, t) => sum + t.rows, 0)) : "too many to count now"], ["Bytes", all === null ? "" : bytes(all)], ["Kept on", this.kept.length ? this.places() : "", true]])}
      ${shards.length > 1 ? html`<section><h2>Shards</h2>
      ${grid("Shards", [
        { label: "Shard", cell: (s) => s.shard },
        { label: "Tablets", num: true, cell: (s) => number(s.tablets) },
        { label: "Rows", num: true, cell: (s) => (s.rows === null ? "" : number(s.rows)) },
        { label: "Size", cell: (s) => (s.bytes === null ? "" : html`<div class="share"><span>${bytes(s.bytes)}</span><meter min="0" max=${all || 1} value=${s.bytes} aria-label="Share of shard ${s.shard}"></meter></div>`) },
      ], shards)}</section>` : nothing}
      <section><div class="bar"><h2>Map</h2><div class="acts">
        <button class="small" @click=${() => this.choose()}>${this.empty ? "Hide" : "Show"} empty tablets</button></div></div>
      ${grid("Tablets", [
        { label: "Tablet", cell: (t) => `#${t.id}` },
        { label: "Shard", num: true, cell: (t) => (t.to === null ? t.shard : `${t.shard} → ${t.to}`) },
        { label: "Holds", cell: (t) => t.holds },
        { label: "From", cell: (t) => html`<code>${edge(t.start, "the first key")}</code>` },
        { label: "Up to", cell: (t) => html`<code>${edge(t.end, "the last key")}</code>` },
        { label: "Rows", num: true, cell: (t) => number(t.rows) },
        { label: "Size", cell: (t) => (t.bytes === null ? "" : html`<div class="share"><span>${bytes(t.bytes)}</span><meter min="0" max=${all || 1} value=${t.bytes} aria-label="Share of tablet ${t.id}"></meter></div>`) },
      ], this.map.rows)}
      ${this.map.nav("Tablets")}</section>
      <section><h2>What they hold</h2>
      ${grid("Tables of the state", [
        { label: "Table", cell: (t) => html`<a href="#/rows/${encodeURIComponent(t.name)}">${t.name}</a>` },
        { label: "Rows", num: true, cell: (t) => number(t.rows) },
        { label: "Size", num: true, cell: (t) => bytes(t.bytes) },
      ], this.tables.rows)}
      ${tables.length ? this.tables.nav("Tables") : nothing}</section>`;
  }
}

customElements.define("pl-tablets", Tablets);
