import { LitElement, html, nothing } from "lit";
import { unsafeSVG } from "lit/directives/unsafe-svg.js";
import { renderSVG } from "uqr";
import { base, shorten, stats } from "./api.js";
import { keep, recall } from "./kept.js";
import { look } from "./look.js";

const DAY = 86400;
const COPIED_MS = 2500;
const LOGO = html`<svg viewBox="0 0 32 32" aria-hidden="true">
  <path class="stem" d="M12 17h8l-1 9a3 3 0 0 1-6 0z" />
  <path class="cap" d="M3 16C3 8.5 8.8 3 16 3s13 5.5 13 13c0 1.6-26 1.6-26 0z" />
</svg>`;

class LinksPage extends LitElement {
  static styles = look;
  static properties = {
    busy: { state: true },
    error: { state: true },
    made: { state: true },
    copied: { state: true },
    kept: { state: true },
    said: { state: true },
  };

  constructor() {
    super();
    Object.assign(this, { busy: false, error: "", made: null, copied: false, kept: recall(), said: "" });
    this.comeBack = () => document.visibilityState === "visible" && this.count();
  }

  connectedCallback() {
    super.connectedCallback();
    document.addEventListener("visibilitychange", this.comeBack);
    this.count();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    document.removeEventListener("visibilitychange", this.comeBack);
  }

  firstUpdated() {
    // Where there is a keyboard, begin at the address; on a phone that would hide half the page.
    if (matchMedia("(hover: hover)").matches) this.find("#url").focus();
  }

  render() {
    return html`
      <main>
        <header>
          ${LOGO}
          <h1>Short links</h1>
          <p class="lead">Paste a long address. Get a short one, with a QR code and a count of its visits.</p>
        </header>
        <form class="card" @submit=${this.submit} novalidate>
          <label for="url">Long address</label>
          <div class="row">
            <input id="url" name="url" type="url" inputmode="url" required autocomplete="url" autocapitalize="none" spellcheck="false"
              placeholder="https://example.org/a/very/long/path" aria-describedby="error" aria-invalid=${this.wrong("url")} @input=${this.mend} />
            <button aria-disabled=${this.busy ? "true" : "false"}>${this.busy ? "Shortening…" : "Shorten"}</button>
          </div>
          ${this.options()}
          <p id="error" class="error" role="alert">${this.error}</p>
        </form>
        ${this.made ? this.result() : nothing}
        ${this.kept.length ? this.history() : html`<p class="empty">The links you make in this browser are listed here.</p>`}
        <footer>Of a link, its address and a count of its visits are kept. Nothing of its visitors.</footer>
        <p class="unseen" role="status">${this.said}</p>
      </main>
    `;
  }

  options() {
    return html`
      <details>
        <summary>Alias, end date</summary>
        <div class="options">
          <div>
            <label for="alias">Alias <span class="hint">(3 to 32 letters, digits, - _)</span></label>
            <input id="alias" name="alias" autocomplete="off" autocapitalize="none" spellcheck="false" placeholder="my-link" maxlength="32"
              aria-describedby="error" aria-invalid=${this.wrong("alias")} @input=${this.mend} />
          </div>
          <div>
            <label for="expires">Ends after</label>
            <select id="expires" name="expires">
              <option value="">never</option>
              <option value=${3600}>an hour</option>
              <option value=${DAY}>a day</option>
              <option value=${7 * DAY}>a week</option>
              <option value=${30 * DAY}>30 days</option>
            </select>
          </div>
        </div>
      </details>
    `;
  }

  result() {
    const { short, url } = this.made;
    const [, lead, rest] = /^https?:\/\/(.*)(\/[^/]*)$/.exec(short);
    return html`
      <section class="result card" aria-label="Your short link">
        <div class="told">
          <a class="short" href=${short} target="_blank" rel="noopener">${lead}<wbr />${rest}</a>
          <p class="target">→ ${url}</p>
          <div class="acts">
            <button type="button" id="copy" @click=${this.copy}>${this.copied ? "Copied ✓" : "Copy"}</button>
            ${navigator.share ? html`<button type="button" class="plain" @click=${this.share}>Share…</button>` : nothing}
          </div>
        </div>
        <div class="qr" role="img" aria-label="QR code of ${short}">${unsafeSVG(renderSVG(short, { border: 4, pixelSize: 1 }))}</div>
      </section>
    `;
  }

  history() {
    return html`
      <section class="yours" aria-labelledby="yours">
        <div class="bar">
          <h2 id="yours">Made in this browser</h2>
          <button type="button" class="plain" id="refresh" aria-label="Refresh visits" @click=${() => this.count(true)}>Refresh</button>
        </div>
        <ul class="card">${this.kept.map((link) => this.line(link))}</ul>
      </section>
    `;
  }

  line(link) {
    const { id, url, clicks, ended } = link;
    return html`
      <li>
        <div>
          ${ended ? html`<span class="ended">${id}</span> (ended)` : html`<a href=${link.short} target="_blank" rel="noopener">${id}</a>`}
          <p class="target" title=${url}>${url}</p>
        </div>
        <p class="visits"><b>${clicks ?? "–"}</b> <span>${clicks === 1 ? "visit" : "visits"}</span></p>
        <button type="button" class="away" aria-label="Take ${id} off this list" title="Take off this list" @click=${() => this.forget(link)}>×</button>
      </li>
    `;
  }

  // Which field an error is about.
  get faulty() {
    return / alias /i.test(this.error) ? "#alias" : "#url";
  }

  wrong(field) {
    return this.error && this.faulty === `#${field}` ? "true" : "false";
  }

  mend() {
    this.error = "";
  }

  async submit(event) {
    event.preventDefault();
    if (this.busy) return;
    const form = event.target;
    const wish = read(new FormData(form));
    this.error = wish.urlToShorten ? "" : "Enter an address first.";
    if (this.error) return this.find("#url").focus();
    this.busy = true;
    try {
      const made = { ...(await shorten(wish)), url: wish.urlToShorten, clicks: 0, ends: end(wish) };
      this.made = made;
      this.copied = false;
      this.kept = keep([made, ...this.kept.filter((link) => link.id !== made.id)]);
      this.said = `Your short link is ${made.short}`;
      form.reset();
      await this.updateComplete;
      this.find("#copy").focus(); // so that Enter, Enter has it on the clipboard
    } catch (error) {
      this.made = null;
      this.error = sentence(error.message);
      this.find(this.faulty).focus();
    } finally {
      this.busy = false;
    }
  }

  async copy() {
    try {
      await navigator.clipboard.writeText(this.made.short);
    } catch {
      // No clipboard without permission or TLS: select it, so that the usual keys copy it.
      getSelection().selectAllChildren(this.find(".short"));
      this.said = "Selected. Copy it with your keyboard or menu.";
      return;
    }
    this.copied = true;
    this.said = "Copied";
    setTimeout(() => (this.copied = false), COPIED_MS);
  }

  share() {
    navigator.share({ url: this.made.short }).catch(() => {}); // the user changed their mind
  }

  async count(aloud = false) {
    const asked = this.kept.filter((link) => !link.ended && !(link.ends && link.ends <= Date.now()));
    const told = new Map(await Promise.all(asked.map(async ({ id }) => [id, await stats(id)])));
    const fresh = (link) => {
      const now = told.has(link.id) ? told.get(link.id) : null;
      return now ? { ...link, clicks: now.clicks, ended: false } : now === null ? { ...link, ended: true } : link;
    };
    this.kept = keep(this.kept.map(fresh));
    if (aloud) this.said = "Visits are up to date";
  }

  forget(gone) {
    this.kept = keep(this.kept.filter((link) => link.id !== gone.id));
    this.said = `${gone.id} is off this list; the link still works`;
    this.updateComplete.then(() => this.find("#refresh, #url").focus());
  }

  find(selector) {
    return this.renderRoot.querySelector(selector);
  }
}

// What the form wishes. People leave out https://, as in an address bar.
function read(form) {
  const text = (name) => String(form.get(name) ?? "").trim();
  const address = text("url");
  const wish = { urlToShorten: address && !/^[a-z][a-z0-9+.-]*:/i.test(address) ? `https://${address}` : address };
  if (text("alias")) wish.alias = text("alias");
  if (text("expires")) wish.expiresInSeconds = Number(text("expires"));
  return wish;
}

// When the link will have ended, in epoch milliseconds; null for never. Ends fall on whole seconds.
function end({ expiresInSeconds }) {
  return expiresInSeconds ? Date.now() + (expiresInSeconds + 1) * 1000 : null;
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

base().catch(() => {}); // ask early; whoever needs it hears of a failure
customElements.define("links-page", LinksPage);
