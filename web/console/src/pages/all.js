// Every page, in the order of the menu.
import { html } from "lit";
import "./alarms.js";
import "./apis.js";
import "./buckets.js";
import "./charts.js";
import "./distributions.js";
import "./errors.js";
import "./functions.js";
import "./layers.js";
import "./logs.js";
import "./nodes.js";
import "./roles.js";
import "./rows.js";
import "./services.js";
import "./tables.js";
import "./tablets.js";
import "./wide.js";

export const PAGES = [
  { id: "nodes", title: "Nodes", group: "Cloud", render: (app, args) => html`<pl-nodes .app=${app} .args=${args}></pl-nodes>` },
  { id: "charts", title: "Live charts", group: "Cloud", render: (app, args) => html`<pl-charts .app=${app} .args=${args}></pl-charts>` },
  { id: "errors", title: "Recent errors", group: "Cloud", render: (app, args) => html`<pl-errors .app=${app} .args=${args}></pl-errors>` },
  { id: "alarms", title: "Alarms", group: "Cloud", render: (app, args) => html`<pl-alarms .app=${app} .args=${args}></pl-alarms>` },
  { id: "tablets", title: "Tablets", group: "Cloud", render: (app, args) => html`<pl-tablets .app=${app} .args=${args}></pl-tablets>` },
  { id: "tables", title: "Tables", group: "Data", render: (app, args) => html`<pl-tables .app=${app} .args=${args}></pl-tables>` },
  { id: "buckets", title: "Buckets", group: "Data", render: (app, args) => html`<pl-buckets .app=${app} .args=${args}></pl-buckets>` },
  { id: "wide", title: "Wide table", group: "Data", render: (app, args) => html`<pl-wide .app=${app} .args=${args}></pl-wide>` },
  { id: "rows", title: "Raw rows", group: "Data", render: (app, args) => html`<pl-rows .app=${app} .args=${args}></pl-rows>` },
  { id: "functions", title: "Functions", group: "Applications", render: (app, args) => html`<pl-functions .app=${app} .args=${args}></pl-functions>` },
  { id: "layers", title: "Layers", group: "Applications", render: (app, args) => html`<pl-layers .app=${app} .args=${args}></pl-layers>` },
  { id: "apis", title: "APIs", group: "Applications", render: (app, args) => html`<pl-apis .app=${app} .args=${args}></pl-apis>` },
  { id: "distributions", title: "Distributions", group: "Applications", render: (app, args) => html`<pl-distributions .app=${app} .args=${args}></pl-distributions>` },
  { id: "services", title: "Services", group: "Applications", render: (app, args) => html`<pl-services .app=${app} .args=${args}></pl-services>` },
  { id: "logs", title: "Logs", group: "Applications", render: (app, args) => html`<pl-logs .app=${app} .args=${args}></pl-logs>` },
  { id: "roles", title: "Roles", group: "Applications", render: (app, args) => html`<pl-roles .app=${app} .args=${args}></pl-roles>` },
];

export const page = (id) => PAGES.find((p) => p.id === id) ?? PAGES[0];
