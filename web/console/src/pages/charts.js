// How busy the cloud is, by the second: uPlot over /_pileus/series.
import { html, nothing } from "lit";
import UPlot from "uplot";
import { bytes } from "../shell/format.js";
import { Page, absent } from "../shell/page.js";

const SPANS = [[300, 1, "5 min"], [3600, 5, "1 h"], [6 * 3600, 60, "6 h"], [86400, 300, "1 d"], [7 * 86400, 1800, "7 d"]];
const ms = (v) => (v === 0 ? "0 ms" : v < 1 ? `${(v * 1000).toFixed(0)} µs` : v < 1000 ? `${v.toFixed(v < 10 ? 1 : 0)} ms` : `${(v / 1000).toFixed(1)} s`);
const plain = (v) => (v >= 1000 ? `${(v / 1000).toFixed(1)} k` : v >= 10 ? v.toFixed(0) : v.toFixed(v % 1 ? 1 : 0));
const rate = (v) => `${bytes(v)}/s`;
const part = (s) => s.labels.process;
const ALL = "all";
// Each chart: its title, unit, and series: [name, label or a function of the series, factor]. Of several nodes each
// has a colour of its own, and what a function tells apart is added up.
const CHARTS = [
  ["Requests a second", plain, [["requests_per_second", "all"]]],
  ["Latency", ms, [["latency_p50_seconds", "half are faster", 1000], ["latency_p99_seconds", "99 % are faster", 1000]]],
  ["Errors a second", plain, [["requests_failed_per_second", "failed (5xx)"], ["requests_refused_per_second", "refused (4xx)"]]],
  ["CPU of the cloud, cores", (v) => v.toFixed(2), [["process_cpu_cores*", part]]],
  ["Memory of the cloud, shared pages counted in each", bytes, [["process_resident_bytes*", part]]],
  ["CPU of the machine, cores", (v) => v.toFixed(2), [["machine_cpu_cores_busy", "busy"], ["machine_cpu_cores_waiting", "waiting for disks"]]],
  ["Disk, bytes a second", rate, [["machine_disk_read_bytes_per_second", "read"], ["machine_disk_written_bytes_per_second", "written"]]],
  ["Space on the disk", bytes, [["disk_used_bytes", "used"], ["disk_free_bytes", "free"]]],
];
const OF_NODES = ["Entries a node is behind", plain, [["log_behind*", () => "behind"]]];
const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const HEIGHT = 170;
const BINARY = Array.from({ length: 50 }, (_, at) => 2 ** at); // steps of an axis of bytes
const two = (n) => String(n).padStart(2, "0");

const others = (labels) => Object.keys(labels).some((name) => name !== "node");

// A colour of the style sheet as a canvas takes it: which of light and dark it is, the browser knows.
function resolved(name) {
  const probe = document.createElement("i");
  probe.style.color = `var(${name})`;
  document.body.append(probe);
  const { color } = getComputedStyle(probe);
  probe.remove();
  return color;
}

const last = (line) => line.values.findLast((v) => v !== null);

function inWords(lines, unit) {
  const now = lines.map((l) => [l.label, last(l)]).filter(([, v]) => v !== undefined);
  return now.length > 3 ? `${unit(now.reduce((sum, [, v]) => sum + v, 0))} in all` : now.map(([label, v]) => `${label} ${unit(v)}`).join(" · ");
}

// Of each node its numbers, in the order of their kinds: "half are faster, 99 % are faster (dashed): n1 2 ms, 9 ms".
function newest(lines, unit, series) {
  const nodes = [...new Set(lines.map((l) => l.node))].map((node) => {
    const numbers = lines.filter((l) => l.node === node).map(last);
    return numbers.some((v) => v !== undefined) ? `${node} ${numbers.map((v) => (v === undefined ? "–" : unit(v))).join(", ")}` : "";
  });
  const kinds = series.length > 1 ? `${series.map(([, label], at) => (at ? `${label} (dashed)` : label)).join(", ")}: ` : "";
  const told = nodes.filter(Boolean).join(" · ");
  return told && kinds + told;
}

// Moments of an axis: hours and minutes, days where more than one is shown.
function moments(plot, times) {
  const long = times.at(-1) - times[0] > 86_400;
  const fine = times.length > 1 && times[1] - times[0] < 60;
  return times.map((t) => {
    const d = new Date(t * 1000);
    const day = long ? `${two(d.getMonth() + 1)}-${two(d.getDate())} ` : "";
    return `${day}${two(d.getHours())}:${two(d.getMinutes())}${fine ? `:${two(d.getSeconds())}` : ""}`;
  });
}

class Charts extends Page {
  static properties = { span: { state: true }, nodes: { state: true } };

  reset() {
    this.span ??= 0;
    this.nodes ??= null;
    this.forget();
  }

  connectedCallback() {
    super.connectedCallback();
    this.sizes = new ResizeObserver(() => this.plots?.forEach(({ plot, box }) => plot.setSize({ width: box.clientWidth, height: HEIGHT })));
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.again = () => this.redraw();
    this.scheme.addEventListener("change", this.again);
    this.looks = new MutationObserver(this.again);
    this.looks.observe(document.documentElement, { attributeFilter: ["data-look"] });
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    this.sizes.disconnect();
    this.looks.disconnect();
    this.scheme.removeEventListener("change", this.again);
    this.forget();
  }

  get every() {
    return this.span ? 10_000 : 2000;
  }

  async load() {
    const [length, step] = SPANS[this.span];
    this.nodes ??= await this.client.nodes();
    const names = this.charts.flatMap(([, , series]) => series.map(([name]) => name));
    const query = [...names.map((name) => ["name", name]), ["node", this.several ? ALL : this.node], ["from", String(-length)], ["step", String(step)]];
    this.told = await this.client.rest("pileus", "GET", "/_pileus/series", { query });
    await this.updateComplete;
    requestAnimationFrame(() => this.isConnected && this.draw());
  }

  // The node whose numbers are shown, "all" of several; of one machine there is nothing to choose.
  get node() {
    return this.nodes?.length > 1 ? this.args[0] ?? ALL : ALL;
  }

  get several() {
    return this.nodes?.length > 1 && this.node === ALL;
  }

  get charts() {
    return this.nodes?.length > 1 ? [...CHARTS, OF_NODES] : CHARTS;
  }

  head() {
    const choose = (event) => this.app.go(`#/charts/${event.target.value}`);
    const machine = this.nodes?.length > 1
      ? html`<select aria-label="Node" class="narrow" @change=${choose}><option value=${ALL} ?selected=${this.several}>All nodes</option>${[...this.nodes].sort().map((n) => html`<option ?selected=${n === this.node}>${n}</option>`)}</select>`
      : nothing;
    return this.heading("Live charts", html`${machine}<div class="choice" role="group" aria-label="Time shown">${SPANS.map(([, , label], at) => html`<button aria-pressed=${at === this.span} @click=${() => ((this.span = at), this.forget(), this.refresh())}>${label}</button>`)}</div>`);
  }

  body() {
    return html`${absent(this.told?.missing)}<div class="charts">${this.charts.map(([title], at) => html`<section class="chart first" aria-labelledby="chart-${at}"><h2 id="chart-${at}">${title}</h2><p class="now" data-now=${at}>No number yet.</p><div class="plot" data-at=${at}></div></section>`)}</div>`;
  }

  // The series of a chart: {label, values}.
  lines(series) {
    const lines = series.flatMap(([name, label, factor = 1], kind) =>
      this.told.series
        .filter((s) => s.metric === name.replace("*", "") && (name.endsWith("*") || !others(s.labels)))
        .filter((s) => s.labels.process !== "cli")
        .map((s) => ({ label: typeof label === "function" ? label(s) : label, folded: typeof label === "function", kind, node: s.labels.node, values: s.values.map((v) => (v === null ? null : v * factor)) })));
    return this.several ? this.byNode(lines, series.length) : lines;
  }

  // A line for each node and kind of series: a node keeps its colour, a second kind is dashed.
  byNode(lines, kinds) {
    const held = new Map();
    const nodes = [...this.nodes].sort();
    for (const line of lines) {
      const label = kinds > 1 ? `${line.node} ${line.label}` : line.node;
      const known = held.get(label);
      if (known) known.values = known.values.map((v, at) => (v === null && line.values[at] === null ? null : (v ?? 0) + (line.values[at] ?? 0)));
      else held.set(label, { ...line, label, colour: nodes.indexOf(line.node), dash: line.kind ? [5, 4] : undefined });
    }
    return [...held.values()].sort((a, b) => (a.kind - b.kind) || (a.node < b.node ? -1 : 1));
  }

  draw() {
    this.charts.forEach(([title, unit, series], at) => {
      const box = this.querySelector(`[data-at="${at}"]`);
      const lines = this.lines(series);
      if (!box || !lines.length) return;
      const data = [this.told.times, ...lines.map((l) => l.values)];
      const labels = lines.map((l) => l.label).join();
      const known = this.plots.get(at);
      if (known?.labels === labels && known.box === box) known.plot.setData(data);
      else {
        known?.plot.destroy();
        this.plots.set(at, { plot: this.plot(box, unit, lines, data), box, labels });
        this.sizes.observe(box);
      }
      const told = this.several ? newest(lines, unit, series) : inWords(lines, unit);
      this.querySelector(`[data-now="${at}"]`).textContent = told || "No number in this time.";
      box.setAttribute("role", "img");
      box.setAttribute("aria-label", `${title}: ${told}`);
    });
  }

  plot(box, unit, lines, data) {
    const colour = (name) => resolved(name);
    const stroke = (l, at) => colour(COLOURS[(l.colour ?? at) % COLOURS.length]);
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
    return new UPlot({
      width: box.clientWidth, height: HEIGHT, cursor: { points: { size: 6 } },
      legend: { show: lines.length > 1, live: false, markers: { width: 0, fill: (u, at) => stroke(lines[at - 1], at - 1) } },
      scales: { y: { range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, values: moments, space: 70, size: 30 }, { ...axis, size: 76, ...(unit === bytes || unit === rate ? { incrs: BINARY } : {}), values: (u, all) => all.map((v) => unit(v)) }],
      series: [{}, ...lines.map((l, at) => ({ label: l.dash ? l.label : l.colour === undefined ? l.label : l.node, class: l.dash ? "dashed" : undefined, stroke: stroke(l, at), dash: l.dash, width: 1.75, spanGaps: false, points: { show: false } }))],
    }, data, box);
  }

  forget() {
    this.plots?.forEach(({ plot }) => plot.destroy());
    this.plots = new Map();
  }

  redraw() {
    this.forget();
    if (this.told) requestAnimationFrame(() => this.draw());
  }
}

customElements.define("pl-charts", Charts);
