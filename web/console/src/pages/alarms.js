// CloudWatch alarms: which ring, and since when.
import { html, nothing } from "lit";
import { ask } from "../shell/dialogs.js";
import { ago, moment } from "../shell/format.js";
import { badge, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const SIGNS = { GreaterThanThreshold: ">", GreaterThanOrEqualToThreshold: "≥", LessThanThreshold: "<", LessThanOrEqualToThreshold: "≤" };
const KIND = { OK: ["well", "good"], ALARM: ["alarm", "bad"], INSUFFICIENT_DATA: ["no data yet", "off"] };

class Alarms extends Page {
  reset() {
    this.list = new Paged(this, async (NextToken, MaxRecords) => {
      const told = await this.client.json("monitoring", "GraniteServiceVersion20100801.DescribeAlarms", { MaxRecords, NextToken, AlarmTypes: ["MetricAlarm", "CompositeAlarm"] });
      return { rows: [...(told.MetricAlarms ?? []), ...(told.CompositeAlarms ?? [])], next: told.NextToken };
    });
  }

  get every() {
    return 5000;
  }

  load() {
    return this.list.again();
  }

  head() {
    return this.heading("Alarms", nothing, "What was asked to be watched, and how it is.");
  }

  body() {
    const rule = (a) => (a.AlarmRule ? html`<code>${a.AlarmRule}</code>` : `${a.MetricName ?? "a formula"} ${SIGNS[a.ComparisonOperator] ?? a.ComparisonOperator} ${a.Threshold ?? "its band"}, ${a.EvaluationPeriods} × ${a.Period ?? 60} s`);
    return html`${grid("Alarms", [
      { label: "Alarm", cell: (a) => html`<b>${a.AlarmName}</b>${a.AlarmDescription ? html`<div class="hint">${a.AlarmDescription}</div>` : nothing}` },
      { label: "State", cell: (a) => { const at = stamp(a.StateUpdatedTimestamp); return html`<div>${badge(...(KIND[a.StateValue] ?? [a.StateValue, "warn"]))}<div class="hint" title=${moment(at)}>${ago(at).replace(" ago", "")}</div></div>`; } },
      { label: "Rings when", cell: rule },
      { label: "Why", cell: (a) => html`<span class="hint">${a.StateReason}</span>` },
      { label: "", cell: (a) => html`<button class="plain small" aria-label="Delete alarm ${a.AlarmName}" @click=${() => this.drop(a)}>Delete</button>` },
    ], this.list.rows, html`<p>There is no alarm yet.</p><p class="quiet"><code>aws cloudwatch put-metric-alarm …</code> makes one.</p>`)}
    ${this.list.rows.length ? this.list.nav("Alarms") : nothing}`;
  }

  async drop(a) {
    if (!(await ask({ title: `Delete alarm ${a.AlarmName}?`, text: "Nobody is told any more.", action: "Delete alarm", danger: true }))) return;
    const done = await this.act(() => this.client.json("monitoring", "GraniteServiceVersion20100801.DeleteAlarms", { AlarmNames: [a.AlarmName] }), "Alarm deleted");
    if (done) await this.refresh(true);
  }
}

// Moments come as seconds since 1970 or as text.
const stamp = (told) => (typeof told === "number" ? told * 1000 : Date.parse(told));

customElements.define("pl-alarms", Alarms);
