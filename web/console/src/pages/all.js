// Every page, in the order of the menu.
import { html } from "lit";
import "./tables.js";

const data = "Data";

export const PAGES = [
  { id: "tables", title: "Tables", group: data, render: (app, args, query) => html`<pl-tables .app=${app} .args=${args} .query=${query}></pl-tables>` },
];

export const page = (id) => PAGES.find((p) => p.id === id) ?? PAGES[0];
