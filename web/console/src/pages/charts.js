// How busy the cloud is, by the second: uPlot over /_pileus/series.
import { html, nothing } from "lit";
import UPlot from "uplot";
import { bytes } from "../shell/format.js";
import { Page } from "../shell/page.js";

const SPANS = [[300, 1, "5 min"], [3600, 5, "1 h"], [6 * 3600, 60, "6 h"], [86400, 300, "1 d"], [7 * 86400, 1800, "7 d"]];
const ms = (v) => (v === 0 ? "0 ms" : v < 1 ? `${(v * 1000).toFixed(0)} µs` : v < 1000 ? `${v.toFixed(v < 10 ? 1 : 0)} ms` : `${(v / 1000).toFixed(1)} s`);
const plain = (v) => (v >= 1000 ? `${(v / 1000).toFixed(1)} k` : v >= 10 ? v.toFixed(0) : v.toFixed(v % 1 ? 1 : 0));
const rate = (v) => `${bytes(v)}/s`;
const part = (s) => s.labels.process;
// Each chart: its title, unit, and series: [name, label or a function of the series, factor].
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
const COLOURS = ["--c1", "--c2", "--c3", "--c4", "--c5", "--c6", "--c7", "--c8"];
const HEIGHT = 170;
const BINARY = Array.from({ length: 50 }, (_, at) => 2 ** at); // steps of an axis of bytes
const two = (n) => String(n).padStart(2, "0");

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
    const names = CHARTS.flatMap(([, , series]) => series.map(([name]) => name));
    const node = this.args[0];
    this.nodes ??= await this.client.nodes();
    const known = new Set((await this.client.rest("pileus", "GET", "/_pileus/series", { node })).series.map((s) => s.name));
    const asked = names.filter((name) => name.endsWith("*") || known.has(name));
    const query = [...asked.map((name) => ["name", name]), ["from", String(-length)], ["step", String(step)]];
    this.told = known.size ? await this.client.rest("pileus", "GET", "/_pileus/series", { query, node }) : { times: [], series: [] };
    await this.updateComplete;
    requestAnimationFrame(() => this.isConnected && this.draw());
  }

  head() {
    const choose = (event) => this.app.go(`#/charts/${event.target.value}`);
    const machine = this.nodes?.length > 1
      ? html`<select aria-label="Node" class="narrow" @change=${choose}>${this.nodes.map((n) => html`<option ?selected=${n === (this.args[0] ?? this.nodes[0])}>${n}</option>`)}</select>`
      : nothing;
    return this.heading("Live charts", html`${machine}<div class="choice" role="group" aria-label="Time shown">${SPANS.map(([, , label], at) => html`<button aria-pressed=${at === this.span} @click=${() => ((this.span = at), this.forget(), this.refresh())}>${label}</button>`)}</div>`);
  }

  body() {
    return html`<div class="charts">${CHARTS.map(([title], at) => html`<section class="chart first" aria-labelledby="chart-${at}"><h2 id="chart-${at}">${title}</h2><p class="now" data-now=${at}>No number yet.</p><div class="plot" data-at=${at}></div></section>`)}</div>`;
  }

  // The series of a chart: {label, values}.
  lines(series) {
    return series.flatMap(([name, label, factor = 1]) =>
      this.told.series
        .filter((s) => (name.endsWith("*") ? s.name.startsWith(`${name.slice(0, -1)}{`) : s.name === name))
        .filter((s) => s.labels.process !== "cli")
        .map((s) => ({ label: typeof label === "function" ? label(s) : label, values: s.values.map((v) => (v === null ? null : v * factor)) })));
  }

  draw() {
    CHARTS.forEach(([title, unit, series], at) => {
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
      const now = lines.map((l) => [l.label, l.values.findLast((v) => v !== null)]).filter(([, v]) => v !== undefined);
      const told = now.length > 3 ? `${unit(now.reduce((sum, [, v]) => sum + v, 0))} in all` : now.map(([label, v]) => `${label} ${unit(v)}`).join(" · ");
      this.querySelector(`[data-now="${at}"]`).textContent = told || "No number in this time.";
      box.setAttribute("role", "img");
      box.setAttribute("aria-label", `${title}: ${told}`);
    });
  }

  plot(box, unit, lines, data) {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(name).trim();
    const axis = { stroke: colour("--quiet"), grid: { stroke: colour("--line"), width: 1 }, ticks: { stroke: colour("--line"), width: 1 }, font: "12px system-ui" };
    return new UPlot({
      width: box.clientWidth, height: HEIGHT, cursor: { points: { size: 6 } },
      legend: { show: lines.length > 1, live: false, markers: { width: 0, fill: (u, at) => colour(COLOURS[(at - 1) % COLOURS.length]) } },
      scales: { y: { range: (u, low, high) => [0, high > 0 ? high * 1.1 : 1] } },
      axes: [{ ...axis, values: moments, space: 70, size: 30 }, { ...axis, size: 76, ...(unit === bytes || unit === rate ? { incrs: BINARY } : {}), values: (u, all) => all.map((v) => unit(v)) }],
      series: [{}, ...lines.map((l, at) => ({ label: l.label, stroke: colour(COLOURS[at % COLOURS.length]), width: 1.75, spanGaps: false, points: { show: false } }))],
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
