// Tables of rows: a table on a desk, cards on a phone.
import { html, nothing } from "lit";

// `columns`: {label, cell(row), num, quiet}; the first names the row. `empty`: what to do when there is none.
export function grid(label, columns, rows, empty = "Nothing here yet.") {
  if (!rows.length) return html`<div class="empty">${empty}</div>`;
  return html`<div class="scroll" tabindex="0" role="region" aria-label=${label}>
    <table>
      <thead><tr>${columns.map((c) => html`<th scope="col" class=${c.num ? "num" : ""}>${c.label || html`<span class="unseen">Actions</span>`}</th>`)}</tr></thead>
      <tbody>${rows.map((row, at) => html`<tr>${columns.map((c, i) => cell(c, row, i, at))}</tr>`)}</tbody>
    </table>
  </div>`;
}

function cell(column, row, index, at) {
  const kind = `${column.num ? "num" : ""} ${column.quiet ? "quiet" : ""} ${column.label ? "" : "last"}`;
  const told = column.cell(row, at);
  return index === 0
    ? html`<th scope="row" data-label=${column.label}>${told}</th>`
    : html`<td class=${kind} data-label=${column.label}>${told === undefined || told === null || told === "" ? html`<span class="quiet">–</span>` : told}</td>`;
}

// Facts of one thing: [[name, value, long], …]; those without a value are left out.
export const facts = (pairs) => html`<dl class="facts">
  ${pairs.map(([name, value, long]) => (value === undefined || value === null || value === "" || value === nothing ? nothing : html`<div class=${long ? "long" : ""}><dt>${name}</dt><dd>${value}</dd></div>`))}
</dl>`;

// Words for a state, with a colour and a sign that do not depend on each other.
export function badge(state, kind = "") {
  const sign = { good: "●", bad: "▲", warn: "◆", off: "○" }[kind] ?? "•";
  return html`<span class="badge ${kind}"><span aria-hidden="true">${sign}</span> ${state}</span>`;
}

// Switches between views of one thing; `tabs`: [[id, label], …].
export function tabs(label, all, now, choose) {
  const keys = (event) => {
    const at = all.findIndex(([id]) => id === now);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    const [id] = all[(to + all.length) % all.length];
    choose(id);
    event.currentTarget.querySelector(`[data-tab="${id}"]`).focus();
  };
  return html`<div class="tabs" role="tablist" aria-label=${label} @keydown=${keys}>
    ${all.map(([id, name]) => html`<button role="tab" data-tab=${id} aria-selected=${id === now ? "true" : "false"} tabindex=${id === now ? 0 : -1}
      @click=${() => choose(id)}>${name}</button>`)}
  </div>`;
}
