// The wide table: tables, rows, columns, values.
import { html, nothing } from "lit";
import { ask, fill } from "../shell/dialogs.js";
import { bytes } from "../shell/format.js";
import { grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged, whole } from "../shell/paged.js";
import { showValue } from "../shell/value.js";

const BASE = "/_pileus/kv";
const SHOWN = 64 * 1024;
const path = (...names) => [BASE, ...names.map((n) => encodeURIComponent(n).replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`))].join("/");

class Wide extends Page {
  reset() {
    this.begins = "";
    this.list = new Paged(this, (token, size) => this.page(token, size));
  }

  load() {
    return this.list.again();
  }

  async page(token, size) {
    const [table, row] = this.args;
    if (!table) {
      if (token === undefined) this.names = (await this.client.rest("pileus", "GET", `${BASE}/`)).tables;
      return whole(this.names)(token, size);
    }
    const query = [["limit", String(size)]];
    if (this.begins) query.push(["prefix", this.begins]);
    if (token) query.push(["after", token]);
    const told = await this.client.rest("pileus", "GET", path(...this.args), { query });
    return { rows: row === undefined ? told.rows : told.columns, next: told.next };
  }

  head() {
    const [table, row] = this.args;
    const put = html`<button class="main" @click=${() => this.put()}>Put cell</button>`;
    if (!table) return this.heading("Wide table", put, "Rows and columns of bytes: the store itself, as applications see it.");
    if (row === undefined) return this.heading(table, put, nothing, html`<a class="up" href="#/wide">← Wide table</a>`);
    return this.heading(row, put, nothing, html`<a class="up" href="#/wide/${encodeURIComponent(table)}">← ${table}</a>`);
  }

  body() {
    const [table, row] = this.args;
    if (!table) {
      return html`${grid("Wide tables", [{ label: "Table", cell: (name) => html`<a href="#/wide/${encodeURIComponent(name)}">${name}</a>` }],
        this.list.rows, html`<p>No cell is stored yet. A table is there as soon as it holds one.</p><button class="main" @click=${() => this.put()}>Put the first cell</button>`)}
        ${this.list.rows.length ? this.list.nav("Tables") : nothing}`;
    }
    return html`
      <form class="search" @submit=${this.jump}>
        <div class="field"><label for="prefix">${row === undefined ? "Rows" : "Columns"} that begin with</label><input id="prefix" name="prefix" placeholder="anything" autocomplete="off" autocapitalize="none" spellcheck="false" /></div>
        <button>Jump</button></form>
      ${row === undefined ? this.rows(table) : this.columns(table, row)}
      ${this.list.nav(row === undefined ? "Rows" : "Columns")}`;
  }

  rows(table) {
    const link = (row) => html`<a href="#/wide/${encodeURIComponent(table)}/${encodeURIComponent(row)}">${row}</a>`;
    return grid("Rows", [{ label: "Row", cell: link }], this.list.rows, this.begins ? `No row begins with ${this.begins}.` : "This table holds no row now.");
  }

  columns(table, row) {
    return grid("Columns", [
      { label: "Column", cell: (c) => html`<button class="link" @click=${() => this.view(c)}>${c.column}</button>` },
      { label: "Size", num: true, cell: (c) => bytes(c.size) },
      { label: "Version", num: true, cell: (c) => c.version },
      { label: "", cell: (c) => html`<button class="plain small" aria-label="Delete cell ${c.column}" @click=${() => this.drop(c)}>Delete</button>` },
    ], this.list.rows, this.begins ? `No column begins with ${this.begins}.` : "This row holds no cell now.");
  }

  jump = async (event) => {
    event.preventDefault();
    this.begins = event.target.elements.prefix.value;
    await this.act(() => this.list.first());
  };

  async cell(column, headers = {}) {
    return this.client.done("pileus", "GET", path(...this.args, column), { headers });
  }

  async view(c) {
    const first = c.size > SHOWN ? { range: `bytes=0-${SHOWN - 1}` } : {};
    const data = await this.act(async () => new Uint8Array(await (await this.cell(c.column, first)).arrayBuffer()));
    if (!data) return;
    const edit = (close, form) => (c.size > SHOWN || !/^(json|text)$/.test(form) ? nothing : html`<button @click=${() => (close(), this.put(c, data))}>Edit</button>`);
    await showValue(`${this.args[1]}/${c.column}`, data, { full: c.size, whole: async () => (await this.cell(c.column)).blob(), buttons: edit });
  }

  async put(c, data) {
    const [table, row] = this.args;
    const fields = [
      { name: "table", label: "Table", value: table ?? "" },
      { name: "row", label: "Row", value: row ?? "" },
      { name: "column", label: "Column", value: c?.column ?? "" },
      { name: "value", label: "Value (text)", rows: 8, optional: true, value: data ? new TextDecoder().decode(data) : "" },
    ];
    const text = c ? "It is stored only if nobody changed it meanwhile." : "";
    const done = await fill({
      title: c ? "Change a cell" : "Put a cell", text, fields, action: "Store", wide: true,
      save: (told) => this.client.done("pileus", "PUT", path(told.table, told.row, told.column), {
        body: told.value, headers: c && told.column === c.column ? { "if-match": `"${c.version}"` } : {},
      }).then(() => told),
    });
    if (!done) return;
    this.app.say("Cell stored");
    if (done.table === table && done.row === row) await this.refresh(true);
    else this.app.go(`#/wide/${encodeURIComponent(done.table)}/${encodeURIComponent(done.row)}`);
  }

  async drop(c) {
    const sure = await ask({ title: "Delete this cell?", text: html`<code>${this.args.join(" / ")} / ${c.column}</code>`, action: "Delete cell", danger: true });
    if (!sure) return;
    const done = await this.act(() => this.client.done("pileus", "DELETE", path(...this.args, c.column), { headers: { "if-match": `"${c.version}"` } }), "Cell deleted");
    if (done) await this.refresh(true);
  }
}

customElements.define("pl-wide", Wide);
