// Every page, in the order of the menu.
import { html } from "lit";
import "./nodes.js";
import "./rows.js";
import "./tables.js";
import "./tablets.js";
import "./wide.js";

export const PAGES = [
  { id: "nodes", title: "Nodes", group: "Cloud", render: (app, args, query) => html`<pl-nodes .app=${app} .args=${args} .query=${query}></pl-nodes>` },
  { id: "tablets", title: "Tablets", group: "Cloud", render: (app, args, query) => html`<pl-tablets .app=${app} .args=${args} .query=${query}></pl-tablets>` },
  { id: "tables", title: "Tables", group: "Data", render: (app, args, query) => html`<pl-tables .app=${app} .args=${args} .query=${query}></pl-tables>` },
  { id: "wide", title: "Wide table", group: "Data", render: (app, args, query) => html`<pl-wide .app=${app} .args=${args} .query=${query}></pl-wide>` },
  { id: "rows", title: "Raw rows", group: "Data", render: (app, args, query) => html`<pl-rows .app=${app} .args=${args} .query=${query}></pl-rows>` },
];

export const page = (id) => PAGES.find((p) => p.id === id) ?? PAGES[0];
