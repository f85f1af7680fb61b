// The machines, and the processes of the one that answers: how they are, and how to stop or restart one.
import { html, nothing } from "lit";
import { ask } from "../shell/dialogs.js";
import { ago, bytes, moment, number } from "../shell/format.js";
import { badge, facts, grid } from "../shell/grid.js";
import { Page, trouble } from "../shell/page.js";

const KIND = { alive: "good", slow: "warn", down: "bad" };
const LOST = {
  "front-0": "Until it is back, nothing can be written; reads go on through the other front ends.",
  front: "The other front ends take over its requests.",
  runtime: "Until it is back, functions do not run; events for them wait.",
  meters: "Until it is back, nothing is measured.",
  log: "Until it is back, this node falls behind; the others go on.",
  caddy: "Until it is back, the users' ports do not answer, and neither does this page. From a terminal: pileus down, then pileus up.",
};
const VERBS = {
  restart: ["Restart", "It finishes what is under way, ends, and is started again."],
  stop: ["Stop", "It has 10 seconds to finish what is under way, and stays down until somebody starts it."],
  drain: ["Drain", "It takes nothing new, has a minute to finish what is under way, and stays down until somebody starts it."],
};

// What a node does for all; where logs are several, how many of them it leads.
const does = ({ roles, logs }) => {
  if (!logs) return roles;
  const others = roles.filter((role) => role !== "log" && role !== "log-leader");
  return logs.copies ? [...others, `leads ${logs.leads} of ${logs.of} logs`] : others;
};

class Nodes extends Page {
  static properties = { told: { state: true }, nodes: { state: true }, cpu: { state: true }, away: { state: true } };

  constructor() {
    super();
    Object.assign(this, { told: null, nodes: null, cpu: new Map() });
  }

  get every() {
    return 2000;
  }

  async load() {
    const [nodes, told] = await Promise.allSettled([this.list(), this.ask("GET", "/_pileus/parts")]);
    if (nodes.reason) throw nodes.reason;
    this.nodes = nodes.value;
    this.away = told.reason ?? null;
    if (this.away && (!this.nodes.cluster || this.away.status !== 503)) throw this.away;
    if (!this.away) this.measured(told.value);
  }

  // The node whose processes are shown: the one chosen, else the one that answers.
  get chosen() {
    return this.args[0] ?? this.nodes?.here ?? "";
  }

  ask(method, path) {
    return this.client.rest("pileus", method, path, { node: this.args[0], patience: 10_000 });
  }

  measured(told) {
    const at = performance.now();
    if (this.told) {
      const took = (at - this.at) / 1000;
      this.cpu = new Map(told.parts.map((p) => {
        const before = this.told.parts.find((b) => b.name === p.name && b.pid === p.pid);
        return [p.name, before ? Math.max(0, (p.cpu_s - before.cpu_s) / took) * 100 : null];
      }));
    }
    Object.assign(this, { told, at });
  }

  reset() {
    Object.assign(this, { told: null, away: null, cpu: new Map() });
  }

  // Who the nodes are; to a key that may not know, this machine is all there is.
  async list() {
    try {
      return await this.client.rest("pileus", "GET", "/_pileus/nodes", { patience: 8000 });
    } catch (error) {
      if (error.status === 404 || error.status === 403) return { cluster: "", nodes: [], problem: error };
      throw error;
    }
  }

  head() {
    return this.heading("Nodes", nothing, "The machines of this cloud and their processes, looked at every two seconds.");
  }

  body() {
    return html`
      ${this.nodes.cluster ? this.cluster() : nothing}
      ${this.away ? html`<section>${trouble(this.away)}<p class="hint">Stopped or lost: on that machine, <code>pileus up</code> starts it, and it catches up by itself.</p></section>` : this.told ? this.machine() : nothing}`;
  }

  machine() {
    const { node, cores, memory_bytes: memory } = this.told;
    const parts = [...this.told.parts].sort((a, b) => b.name.startsWith("front") - a.name.startsWith("front") || (a.name < b.name ? -1 : 1));
    const ill = parts.filter((p) => p.health !== "alive" && p.state !== "stopped").length;
    const stopped = parts.filter((p) => p.state === "stopped").length;
    const used = parts.reduce((sum, p) => sum + p.memory_bytes, 0);
    return html`
      <section class=${this.nodes.cluster ? "" : "first"}>
        <div class="bar"><h2>${this.nodes.cluster ? `Processes of ${this.chosen}` : "Processes"}</h2><div class="acts">
          <button class="small" @click=${() => this.every_one("restart")}>Restart all</button>
          ${this.nodes.nodes.length > 1 ? html`<button class="small danger" @click=${() => this.every_one("stop")}>Stop node</button>` : nothing}</div></div>
        ${facts([
          ["Machine", node],
          ["State", !ill ? badge(stopped ? `${stopped} stopped, the others answer` : "all parts answer", stopped ? "warn" : "good") : badge(ill === 1 ? "1 part needs a look" : `${ill} parts need a look`, "bad")],
          ["Cores", cores],
          ["Memory of the cloud", `${bytes(used)} of ${bytes(memory)}`],
        ])}
        ${this.parts(parts)}
        ${this.nodes.cluster ? nothing : html`<p class="hint">This cloud is one machine. <code>pileus init</code> makes it the first of several.</p>`}
      </section>`;
  }

  parts(parts) {
    return html`<div class="parts">${grid("Processes", [
      { label: "Process", cell: (p) => html`<b>${p.name}</b><div class="hint">${p.does}</div>` },
      { label: "State", cell: (p) => this.state(p) },
      { label: "Process id", num: true, cell: (p) => p.pid || "" },
      { label: "CPU", num: true, cell: (p) => (p.pid && this.cpu.get(p.name) != null ? `${this.cpu.get(p.name).toFixed(1)} %` : "") },
      { label: "Memory", num: true, cell: (p) => (p.pid ? bytes(p.memory_bytes) : "") },
      { label: "Longest away", num: true, cell: (p) => this.longest(p) },
      { label: "Answers in", num: true, cell: (p) => (p.answer_ms == null ? "" : `${p.answer_ms < 10 ? p.answer_ms.toFixed(1) : Math.round(p.answer_ms)} ms`) },
      { label: "", cell: (p) => this.buttons(p) },
    ], parts, "No process is known here.")}</div>`;
  }

  longest(p) {
    if (!p.incidents.length) return "never";
    const worst = Math.max(...p.incidents.map(([, seconds]) => seconds));
    const late = p.incidents.some(([, , over]) => over);
    const title = `${p.incidents.length} times; allowed: ${p.allowed_s} s`;
    return html`<span class=${late ? "error" : ""} title=${title}>${worst.toFixed(1)} s<span class="hint"> of ${p.allowed_s} s</span></span>`;
  }

  // Every process of the node.
  async every_one(verb) {
    const text = verb === "restart"
      ? "One process after the other finishes what is under way and is started again."
      : "It finishes what is under way and goes down; the other nodes serve on. To start it again, on the machine: pileus up";
    const name = this.nodes.cluster ? this.chosen : "the cloud";
    const sure = await ask({ title: verb === "restart" ? `Restart all processes of ${name}?` : `Stop node ${name}?`, text, action: verb === "restart" ? "Restart all" : "Stop node", danger: verb === "stop", word: verb === "stop" ? name : "" });
    if (!sure) return;
    const done = await this.act(() => this.ask("POST", `/_pileus/parts/all/${verb}`), verb === "restart" ? `${name} is being restarted` : `${name} is going down`);
    if (done) await this.refresh(true);
  }

  state(p) {
    const word = p.state === "stopped" ? badge("stopped", "off") : p.state === "stopping" ? badge("stopping", "warn") : badge(p.health, KIND[p.health]);
    const more = p.state === "waiting" ? "to be started again, " : "";
    return html`<div>${word}<div class="hint" title=${moment(p.since_ms)}>${more}${ago(p.since_ms).replace(" ago", "")}${p.restarts ? `, started again ${p.restarts}×` : ""}${p.ended && p.ended !== "status 0" && p.health !== "alive" ? ` (${p.ended})` : ""}</div></div>`;
  }

  buttons(p) {
    if (!p.pid) return html`<button class="small" @click=${() => this.order(p, "start")} aria-label="Start ${p.name}">Start</button>`;
    const verbs = p.name.startsWith("front") ? ["restart", "drain", "stop"] : ["restart", "stop"];
    return verbs.map((verb) => html`<button class="small plain" ?disabled=${p.state === "stopping"} aria-label="${VERBS[verb][0]} ${p.name}" @click=${() => this.order(p, verb)}>${VERBS[verb][0]}</button>`);
  }

  async order(p, verb) {
    if (verb !== "start") {
      const lost = LOST[p.name] ?? LOST[p.name.split("-")[0]] ?? "";
      const sure = await ask({
        title: `${VERBS[verb][0]} ${p.name}?`,
        text: html`${VERBS[verb][1]} ${lost}`,
        action: VERBS[verb][0],
        danger: verb !== "restart",
      });
      if (!sure) return;
    }
    const said = { start: "is being started", restart: "is being restarted", stop: "is being stopped", drain: "is being drained" }[verb];
    const done = await this.act(() => this.ask("POST", `/_pileus/parts/${p.name}/${verb}`), `${p.name} ${said}`);
    if (done) await this.refresh(true);
  }

  cluster() {
    return html`<section class="first"><h2>Cluster ${this.nodes.cluster}</h2>
      ${grid("Nodes", [
        { label: "Node", cell: (n) => html`<a href="#/nodes/${n.name}" aria-current=${n.name === this.chosen ? "true" : nothing}><b>${n.name}</b></a>${n.here ? html` <span class="hint">answers here</span>` : nothing}<div class="hint">${n.address}</div>` },
        { label: "Health", cell: (n) => html`<div>${n.health ? badge(n.health, KIND[n.health]) : badge("not heard yet", "off")}<div class="hint" title=${moment(n.since_ms)}>${ago(n.since_ms).replace(" ago", "")}</div></div>` },
        { label: "Membership", cell: (n) => n.state },
        { label: "Applied", num: true, cell: (n) => number(n.applied) },
        { label: "Behind", num: true, cell: (n) => number(n.lag) },
        { label: "Does for all", cell: (n) => does(n).join(", ") },
        { label: "", cell: (n) => this.change(n) },
      ], this.nodes.nodes, "No node is listed.")}</section>`;
  }

  change(n) {
    const verbs = n.state.startsWith("drain") ? ["undrain"] : ["drain"];
    return [...verbs, "leave"].map((verb) => html`<button class="small plain" aria-label="${verb} ${n.name}" @click=${() => this.move(n, verb)}>${{ drain: "Drain", undrain: "Undrain", leave: "Leave" }[verb]}</button>`);
  }

  async move(n, verb) {
    const text = { drain: "It takes no new work; what it leads moves to others.", undrain: "It takes work again.", leave: "It goes for good: its copies are made elsewhere, and its name is not used again." }[verb];
    const sure = await ask({ title: `${verb} ${n.name}?`, text, action: verb, danger: verb === "leave", word: verb === "leave" ? n.name : "" });
    if (!sure) return;
    const done = await this.act(() => this.client.rest("pileus", "POST", `/_pileus/nodes/${n.name}/${verb}`), `${n.name}: ${verb}`);
    if (done) await this.refresh(true);
  }
}

customElements.define("pl-nodes", Nodes);
