// What every page of the console does alike: load, load again, say what went wrong.
import { LitElement, html, nothing } from "lit";

export class Page extends LitElement {
  static properties = {
    app: { attribute: false },
    args: { attribute: false },
    busy: { state: true },
    problem: { state: true },
    loaded: { state: true },
  };

  constructor() {
    super();
    Object.assign(this, { args: [], busy: false, problem: null, loaded: false });
    this.turn = 0;
  }

  createRenderRoot() {
    return this; // one style sheet for all pages
  }

  get client() {
    return this.app.session.client;
  }

  // Pages with `every` (milliseconds) look again by themselves while they are seen.
  get every() {
    return 0;
  }

  async load() {} // for the page to say

  connectedCallback() {
    super.connectedCallback();
    this.leaving = new AbortController();
    this.seen = () => document.visibilityState === "visible" && this.every && this.refresh(true);
    document.addEventListener("visibilitychange", this.seen);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.seen);
    clearTimeout(this.timer);
    this.leaving.abort();
  }

  willUpdate(changed) {
    if (changed.has("args") && !same(changed.get("args"), this.args)) {
      this.loaded = false;
      this.reset?.();
      queueMicrotask(() => this.refresh());
    }
  }

  // Load; `quiet`: nobody asked, so nothing flickers.
  async refresh(quiet = false) {
    clearTimeout(this.timer);
    const turn = ++this.turn;
    if (!quiet) this.busy = true;
    try {
      await this.load();
      if (turn !== this.turn || !this.isConnected) return;
      this.problem = null;
      this.loaded = true;
    } catch (error) {
      if (turn !== this.turn || !this.isConnected || error.name === "AbortError") return;
      this.problem = error;
      if (!(error.status >= 0)) console.error(error);
    } finally {
      if (turn === this.turn) {
        this.busy = false;
        this.requestUpdate();
        if (this.every && this.isConnected && document.visibilityState === "visible") {
          this.timer = setTimeout(() => this.refresh(true), this.every);
        }
      }
    }
  }

  // Do something the user asked for; what goes wrong is said where they look.
  async act(doing, done) {
    this.busy = true;
    try {
      const told = await doing();
      this.problem = null;
      if (done) this.app.say(done);
      return told ?? true;
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      this.problem = error;
      if (!(error.status >= 0)) console.error(error);
      return undefined;
    } finally {
      this.busy = false;
    }
  }

  render() {
    return html`
      <div class="progress" ?data-on=${this.busy} role="presentation"></div>
      ${this.head()}
      ${this.problem ? trouble(this.problem, () => this.refresh()) : nothing}
      ${this.loaded ? this.body() : this.problem ? nothing : html`<p class="waiting">Loading…</p>`}
    `;
  }

  heading(title, buttons = nothing, lead = nothing, above = nothing) {
    return html`<div class="head">
      <div>${above}<h1 tabindex="-1">${title}</h1>${lead === nothing ? nothing : html`<p class="lead">${lead}</p>`}</div>
      <div class="acts">${buttons}
        <button class="plain" @click=${() => this.refresh()} aria-label="Load this page again" title="Load again">↻</button>
      </div>
    </div>`;
  }
}

// An error in words, with a way on.
export function trouble(error, again) {
  const denied = /AccessDenied|NotAuthorized/.test(error.code ?? "");
  return html`<div class="trouble" role="alert">
    <p><b>${denied ? "Not allowed" : error.code ? spaced(error.code) : "That did not work"}.</b> ${error.message}</p>
    ${denied ? html`<p class="quiet">Sign in with a key that may, or ask for this permission.</p>` : nothing}
    ${again ? html`<button class="plain" @click=${again}>Try again</button>` : nothing}
  </div>`;
}

// Which nodes' part an answer lacks: {name: why}.
export function absent(missing) {
  const names = Object.keys(missing ?? {}).sort();
  if (!names.length) return nothing;
  return html`<p class="absent" role="status">${names.map((name) => html`<span><b>${name}</b> is missing here${missing[name] ? `: ${missing[name].replace(`${name}: `, "")}` : ""}.</span>`)}</p>`;
}

const spaced = (code) => code.replace(/(Exception|Error)$/, "").replace(/([a-z])([A-Z])/g, "$1 $2") || code;

const same = (a, b) => Boolean(a) && a.length === b.length && a.every((x, i) => x === b[i]);
