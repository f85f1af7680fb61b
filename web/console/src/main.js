import { LitElement, html, nothing } from "lit";
import { PAGES, page } from "./pages/all.js";
import { Session } from "./session.js";
import { trouble } from "./shell/page.js";

const SAID_MS = 4000;
const LOOKS = ["auto", "light", "dark"];
const LOGO = html`<svg viewBox="0 0 32 32" aria-hidden="true"><path class="stem" d="M12 17h8l-1 9a3 3 0 0 1-6 0z" /><path class="cap"
  d="M3 16C3 8.5 8.8 3 16 3s13 5.5 13 13c0 1.6-26 1.6-26 0z" /></svg>`;

class PileusConsole extends LitElement {
  static properties = {
    state: { state: true },
    problem: { state: true },
    place: { state: true },
    said: { state: true },
    menu: { state: true },
    look: { state: true },
  };

  constructor() {
    super();
    Object.assign(this, { state: "starting", problem: null, said: "", menu: false, look: localStorage.getItem("pileus-look") ?? "auto" });
    this.session = new Session();
    this.app = { session: this.session, say: (text) => this.say(text), go: (place) => (location.hash = place) };
    this.wear();
    this.turn();
    addEventListener("hashchange", () => this.turn());
    addEventListener("keydown", (event) => event.key === "Escape" && (this.menu = false));
  }

  createRenderRoot() {
    return this;
  }

  async connectedCallback() {
    super.connectedCallback();
    await this.begin();
  }

  async begin() {
    this.problem = null;
    try {
      this.state = (await this.session.resume()) ? "in" : "out";
    } catch (error) {
      this.problem = error;
      this.state = "out";
    }
  }

  // The address after # says which page: #/tables/orders
  turn() {
    const [id, ...args] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decodeURIComponent);
    const known = page(id ?? "nodes");
    const moved = this.place && this.place.page !== known;
    this.place = { page: known, args };
    this.menu = false;
    this.said = "";
    document.title = `${known.title} · Pileus`;
    if (this.state === "in" && this.hasUpdated) {
      this.updateComplete.then(() => {
        if (moved) scrollTo(0, 0);
        requestAnimationFrame(() => this.querySelector("main h1")?.focus({ preventScroll: true }));
      });
    }
  }

  say(text) {
    this.said = text;
    clearTimeout(this.saying);
    this.saying = setTimeout(() => (this.said = ""), SAID_MS);
  }

  wear() {
    if (this.look === "auto") document.documentElement.removeAttribute("data-look");
    else document.documentElement.setAttribute("data-look", this.look);
  }

  nextLook() {
    this.look = LOOKS[(LOOKS.indexOf(this.look) + 1) % LOOKS.length];
    localStorage.setItem("pileus-look", this.look);
    this.wear();
  }

  render() {
    if (this.state === "starting") return html`<p class="waiting">Asking the cloud…</p>`;
    return html`${this.state === "out" ? this.door() : this.inside()}<p class="toast" role="status" ?data-on=${Boolean(this.said)}>${this.said}</p>`;
  }

  door() {
    return html`<main class="door">
      <form class="card" @submit=${this.enter} novalidate>
        <header>${LOGO}<h1>Pileus console</h1></header>
        <div class="field"><label for="key">Access key id</label>
          <input id="key" name="key" autocomplete="username" autocapitalize="none" spellcheck="false" autofocus required /></div>
        <div class="field"><label for="secret">Secret access key</label>
          <input id="secret" name="secret" type="password" autocomplete="current-password" required /></div>
        <details><summary>Temporary key?</summary>
          <div class="field"><label for="token">Session token</label><input id="token" name="token" autocomplete="off" spellcheck="false" /></div></details>
        <div class="field check"><input id="keep" name="keep" type="checkbox" checked /><label for="keep">Stay signed in when this tab is reloaded</label></div>
        ${this.problem ? trouble(this.problem) : nothing}
        <button class="main">${this.busy ? "Signing in…" : "Sign in"}</button>
        <p class="hint">The owner's key: <code>pileus env</code>. Your secret is never sent: it signs requests in this tab. It lies in the
          tab's memory, and in its session storage if you stay signed in; signing out or closing the tab forgets it.</p>
      </form>
    </main>`;
  }

  async enter(event) {
    event.preventDefault();
    const form = event.target;
    const told = (name) => form.elements[name].value.trim();
    this.problem = null;
    if (!globalThis.crypto?.subtle) {
      this.problem = new Error("Signing needs a secure page: use https (the edge's TLS port), or localhost.");
      return;
    }
    if (!told("key") || !told("secret")) {
      this.problem = new Error("Enter both parts of the access key.");
      return;
    }
    this.busy = true;
    this.requestUpdate();
    try {
      await this.session.enter({ id: told("key"), secret: told("secret"), token: told("token") || undefined }, form.elements.keep.checked);
      this.state = "in";
      await this.updateComplete;
      this.querySelector("main h1")?.focus();
    } catch (error) {
      this.problem = error;
    } finally {
      this.busy = false;
      this.requestUpdate();
    }
  }

  leave() {
    this.session.leave();
    this.state = "out";
    this.problem = null;
  }

  inside() {
    const { page: now, args } = this.place;
    const who = this.session.who.Arn.split(":").slice(5).join(":");
    return html`
      <a class="skip" href="#content" @click=${(e) => (e.preventDefault(), this.querySelector("main h1")?.focus())}>Skip to the content</a>
      <header class="top">
        <button class="plain burger" aria-expanded=${this.menu} aria-controls="menu" aria-label="Menu" @click=${() => (this.menu = !this.menu)}>☰</button>
        <a class="brand" href="#/nodes">${LOGO}<span>Pileus</span></a>
        <span class="who" title=${this.session.who.Arn}><span class="region">${this.session.cloud.region}</span><span class="name">${who} · ${this.session.who.Account}</span></span>
        <button class="plain look" aria-label="Colours: ${this.look}" title="Colours: ${this.look}" @click=${() => this.nextLook()}>${{ auto: "◐", light: "☀", dark: "☾" }[this.look]}</button>
        <button class="plain out" @click=${() => this.leave()}>Sign out</button>
      </header>
      <div class="frame">
        <nav id="menu" class="menu" ?data-open=${this.menu} aria-label="Pages">
          ${Object.entries(Object.groupBy(PAGES, (p) => p.group)).map(([group, pages]) => html`
            <h2>${group}</h2>
            <ul>${pages.map((p) => html`<li><a href="#/${p.id}" aria-current=${p === now ? "page" : nothing}>${p.title}</a></li>`)}</ul>`)}
        </nav>
        <main id="content">${now.render(this.app, args)}</main>
      </div>`;
  }
}

customElements.define("pileus-console", PileusConsole);
