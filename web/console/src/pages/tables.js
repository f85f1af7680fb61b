// DynamoDB tables: all of them, or one with its items.
import { html, nothing } from "lit";
import { brief, isPlain, isTyped, plainItem, typedItem } from "../aws/items.js";
import { ask, fill } from "../shell/dialogs.js";
import { ago, bytes, moment, number } from "../shell/format.js";
import { badge, facts, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const TYPES = [["S", "String"], ["N", "Number"], ["B", "Binary"]];
const COMPARE = [["=", "="], ["<", "<"], ["<=", "≤"], [">", ">"], [">=", "≥"], ["begins", "begins with"]];
const state = (status) => badge(status.toLowerCase(), status === "ACTIVE" ? "good" : "warn");

class Tables extends Page {
  static properties = { table: { state: true }, asked: { state: true } };

  reset() {
    this.asked = null;
    this.table = null;
    this.list = new Paged(this, (token, size) => this.tables(token, size));
    this.items = new Paged(this, (token, size) => this.page(token, size));
  }

  get name() {
    return this.args[0];
  }

  async load() {
    if (!this.name) return this.list.again();
    this.table = (await this.client.dynamodb("DescribeTable", { TableName: this.name })).Table;
    await this.items.again();
  }

  async tables(token, size) {
    const told = await this.client.dynamodb("ListTables", { Limit: size, ExclusiveStartTableName: token });
    const rows = await Promise.all(told.TableNames.map(async (TableName) => {
      try {
        return (await this.client.dynamodb("DescribeTable", { TableName })).Table;
      } catch (error) {
        return { TableName, problem: error };
      }
    }));
    return { rows, next: told.LastEvaluatedTableName };
  }

  async page(token, size) {
    const input = { TableName: this.name, Limit: size, ExclusiveStartKey: token, ConsistentRead: !this.asked?.IndexName, ...this.asked };
    const told = await this.client.dynamodb(this.asked?.KeyConditionExpression ? "Query" : "Scan", input);
    return { rows: told.Items, next: told.LastEvaluatedKey };
  }

  body() {
    return this.name ? this.one() : this.all();
  }

  head() {
    if (!this.name) return this.heading("Tables", html`<button class="main" @click=${this.create}>Create table</button>`);
    return this.heading(this.name, html`<button class="main" @click=${() => this.edit()}>Put item</button>
      <button class="danger" @click=${this.discard}>Delete table</button>`, nothing, html`<a class="up" href="#/tables">← Tables</a>`);
  }

  all() {
    const key = (t) => (t.KeySchema ?? []).map((k) => k.AttributeName).join(", ");
    return html`${grid("Tables", [
      { label: "Table", cell: (t) => html`<a href="#/tables/${encodeURIComponent(t.TableName)}">${t.TableName}</a>` },
      { label: "State", cell: (t) => (t.problem ? html`<span class="quiet" title=${t.problem.message}>not allowed to look</span>` : state(t.TableStatus)) },
      { label: "Key", cell: key },
      { label: "Items", num: true, cell: (t) => number(t.ItemCount) },
      { label: "Size", num: true, cell: (t) => bytes(t.TableSizeBytes) },
      { label: "Indexes", num: true, cell: (t) => (t.GlobalSecondaryIndexes?.length ?? 0) + (t.LocalSecondaryIndexes?.length ?? 0) },
    ], this.list.rows, html`<p>There is no table yet.</p><button class="main" @click=${this.create}>Create the first one</button>
      <p class="quiet">Or: <code>aws dynamodb create-table …</code></p>`)}
    ${this.list.rows.length ? this.list.nav("Tables") : nothing}`;
  }

  one() {
    const t = this.table;
    const indexes = [...(t.GlobalSecondaryIndexes ?? []), ...(t.LocalSecondaryIndexes ?? [])];
    return html`
      ${facts([
        ["State", state(t.TableStatus)],
        ["Key", t.KeySchema.map((k) => `${k.AttributeName} (${this.type(k.AttributeName)})`).join(", ")],
        ["Items", number(t.ItemCount)],
        ["Size", bytes(t.TableSizeBytes)],
        ["Capacity", t.BillingModeSummary?.BillingMode === "PAY_PER_REQUEST" ? "on demand" : `${t.ProvisionedThroughput?.ReadCapacityUnits} read, ${t.ProvisionedThroughput?.WriteCapacityUnits} write`],
        ["Indexes", indexes.map((i) => i.IndexName).join(", ")],
        ["Stream", t.StreamSpecification?.StreamEnabled ? t.StreamSpecification.StreamViewType : ""],
        ["Made", html`<span title=${moment(t.CreationDateTime * 1000)}>${ago(t.CreationDateTime * 1000)}</span>`],
      ])}
      <section><h2>Items</h2>
        ${this.search(indexes)}
        ${this.rows()}
        ${this.items.nav("Items")}
      </section>`;
  }

  type(attribute) {
    return this.table.AttributeDefinitions.find((a) => a.AttributeName === attribute)?.AttributeType ?? "S";
  }

  search(indexes) {
    return html`<form class="search" @submit=${this.find}>
      ${indexes.length
        ? html`<div class="field"><label for="index">Look in</label><select id="index" name="index" @change=${() => this.requestUpdate()}>
            <option value="">the table</option>${indexes.map((i) => html`<option>${i.IndexName}</option>`)}</select></div>`
        : nothing}
      <div class="field"><label for="pk">${this.keys()[0]} =</label><input id="pk" name="pk" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="all" /></div>
      ${this.keys()[1]
        ? html`<div class="field"><label for="compare">${this.keys()[1]}</label><div class="pair">
            <select id="compare" name="compare" aria-label="How to compare">${COMPARE.map(([value, label]) => html`<option value=${value}>${label}</option>`)}</select>
            <input name="sk" aria-label="Sort key" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="any" /></div></div>`
        : nothing}
      <button>Find</button>
      ${this.asked ? html`<button type="button" class="plain" @click=${this.scan}>Show all</button>` : nothing}
    </form>`;
  }

  // The key attributes of the table, or of the index chosen.
  keys() {
    const chosen = this.querySelector("#index")?.value;
    const all = [...(this.table.GlobalSecondaryIndexes ?? []), ...(this.table.LocalSecondaryIndexes ?? [])];
    return (all.find((i) => i.IndexName === chosen) ?? this.table).KeySchema.map((k) => k.AttributeName);
  }

  async find(event) {
    event.preventDefault();
    const told = Object.fromEntries(new FormData(event.target));
    const [pk, sk] = this.keys();
    this.asked = told.index ? { IndexName: told.index } : null;
    if (told.pk) {
      const compare = told.sk ? (told.compare === "begins" ? " AND begins_with(#s, :s)" : ` AND #s ${told.compare} :s`) : "";
      this.asked = {
        ...this.asked,
        KeyConditionExpression: `#p = :p${compare}`,
        ExpressionAttributeNames: { "#p": pk, ...(told.sk ? { "#s": sk } : {}) },
        ExpressionAttributeValues: { ":p": { [this.type(pk)]: told.pk }, ...(told.sk ? { ":s": { [this.type(sk)]: told.sk } } : {}) },
      };
    }
    await this.act(() => this.items.first());
  }

  async scan() {
    this.asked = null;
    this.querySelector(".search").reset();
    await this.act(() => this.items.first());
  }

  rows() {
    const keys = this.table.KeySchema.map((k) => k.AttributeName);
    const others = [...new Set(this.items.rows.flatMap((item) => Object.keys(item)))].filter((name) => !keys.includes(name)).slice(0, 4);
    const first = (item) => html`<button class="link" @click=${() => this.edit(item)}>${brief(item[keys[0]]) || "(empty)"}</button>`;
    return grid("Items", [
      { label: keys[0], cell: first },
      ...keys.slice(1).map((name) => ({ label: name, cell: (item) => brief(item[name]) })),
      ...others.map((name) => ({ label: name, cell: (item) => brief(item[name], 40) })),
      { label: "", cell: (item) => html`<button class="plain small" @click=${() => this.drop(item)} aria-label="Delete item ${brief(item[keys[0]])}">Delete</button>` },
    ], this.items.rows, this.asked ? "No item matches." : html`<p>This table is empty.</p><button class="main" @click=${() => this.edit()}>Put the first item</button>`);
  }

  keyOf(item) {
    return Object.fromEntries(this.table.KeySchema.map((k) => [k.AttributeName, item[k.AttributeName]]));
  }

  async edit(item) {
    const easy = !item || isPlain(item);
    const begin = item ?? Object.fromEntries(this.table.KeySchema.map((k) => [k.AttributeName, { [this.type(k.AttributeName)]: this.type(k.AttributeName) === "N" ? "1" : "" }]));
    const done = await fill({
      title: item ? "Item" : "Put an item",
      text: easy ? "Plain JSON, or DynamoDB's typed form ({\"id\": {\"S\": \"a\"}}): both are understood." : "In DynamoDB's typed form: this item holds what plain JSON cannot say.",
      wide: true,
      action: item ? "Save" : "Put item",
      fields: [{ name: "json", label: "Item as JSON", rows: 14, value: JSON.stringify(easy ? plainItem(begin) : begin, null, 2) }],
      save: async ({ json }) => {
        const told = JSON.parse(json);
        if (told === null || typeof told !== "object" || Array.isArray(told)) throw new Error("An item is a JSON object.");
        const Item = isTyped(told) ? told : typedItem(told);
        await this.client.dynamodb("PutItem", { TableName: this.name, Item });
      },
    });
    if (!done) return;
    this.app.say("Item saved");
    await this.refresh(true);
  }

  async drop(item) {
    const sure = await ask({ title: "Delete this item?", text: html`<code>${JSON.stringify(plainItem(this.keyOf(item)))}</code>`, action: "Delete item", danger: true });
    if (!sure) return;
    const done = await this.act(() => this.client.dynamodb("DeleteItem", { TableName: this.name, Key: this.keyOf(item) }), "Item deleted");
    if (done) await this.refresh(true);
  }

  create = async () => {
    const made = await fill({
      title: "Create a table",
      action: "Create table",
      fields: [
        { name: "name", label: "Name", placeholder: "orders" },
        { name: "pk", label: "Partition key", value: "id" },
        { name: "pkType", label: "Its type", choices: TYPES, value: "S" },
        { name: "sk", label: "Sort key", optional: true, hint: "Leave empty for a table without one." },
        { name: "skType", label: "Its type", choices: TYPES, value: "S" },
      ],
      save: ({ name, pk, pkType, sk, skType }) =>
        this.client.dynamodb("CreateTable", {
          TableName: name,
          BillingMode: "PAY_PER_REQUEST",
          AttributeDefinitions: [{ AttributeName: pk, AttributeType: pkType }, ...(sk ? [{ AttributeName: sk, AttributeType: skType }] : [])],
          KeySchema: [{ AttributeName: pk, KeyType: "HASH" }, ...(sk ? [{ AttributeName: sk, KeyType: "RANGE" }] : [])],
        }),
    });
    if (made) this.app.go(`#/tables/${encodeURIComponent(made.TableDescription.TableName)}`);
  };

  discard = async () => {
    const sure = await ask({ title: `Delete table ${this.name}?`, text: "Its items and indexes go with it. This cannot be undone.", action: "Delete table", danger: true, word: this.name });
    if (!sure) return;
    if (await this.act(() => this.client.dynamodb("DeleteTable", { TableName: this.name }), `Table ${this.name} deleted`)) this.app.go("#/tables");
  };
}

customElements.define("pl-tables", Tables);
