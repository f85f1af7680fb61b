import { LitElement, css, html, nothing } from "lit";
import { unsafeSVG } from "lit/directives/unsafe-svg.js";
import { renderSVG } from "uqr";
import { shorten, stats } from "./api.js";

const KEPT = "links"; // the links made in this browser, newest first
const KEPT_MAX = 20;
const DAY = 86400;

class LinksPage extends LitElement {
  static properties = {
    busy: { state: true },
    error: { state: true },
    made: { state: true },
    copied: { state: true },
    kept: { state: true },
  };

  constructor() {
    super();
    this.busy = false;
    this.error = "";
    this.made = null;
    this.copied = false;
    this.kept = recall();
  }

  connectedCallback() {
    super.connectedCallback();
    this.refresh();
  }

  render() {
    return html`
      <main>
        <h1>Short links</h1>
        <p class="lead">Paste a long address, get a short one.</p>
        <form @submit=${this.submit} novalidate>
          <label for="url">Long address</label>
          <div class="row">
            <input id="url" name="url" type="url" required autocomplete="url" autofocus spellcheck="false"
              placeholder="https://example.org/a/very/long/path" aria-describedby="error" aria-invalid=${this.error ? "true" : "false"} />
            <button ?disabled=${this.busy}>${this.busy ? "Shortening…" : "Shorten"}</button>
          </div>
          <details>
            <summary>Options</summary>
            <div class="options">
              <label>Own name <input name="alias" autocomplete="off" placeholder="my-link" maxlength="32" /></label>
              <label>Ends after
                <select name="expires">
                  <option value="">never</option>
                  <option value=${DAY}>a day</option>
                  <option value=${7 * DAY}>a week</option>
                  <option value=${30 * DAY}>30 days</option>
                </select>
              </label>
            </div>
          </details>
          <p id="error" class="error" role="alert">${this.error}</p>
        </form>
        ${this.made ? this.result() : nothing} ${this.kept.length ? this.history() : nothing}
      </main>
    `;
  }

  result() {
    const { short } = this.made;
    return html`
      <section class="result" aria-live="polite" aria-label="Your short link">
        <div class="qr" role="img" aria-label="QR code of ${short}">${unsafeSVG(renderSVG(short, { border: 2 }))}</div>
        <div>
          <a class="short" href=${short} target="_blank" rel="noopener">${short}</a>
          <p class="target">${this.made.url}</p>
          <button type="button" class="plain" @click=${this.copy}>${this.copied ? "Copied ✓" : "Copy"}</button>
        </div>
      </section>
    `;
  }

  history() {
    return html`
      <section aria-labelledby="yours">
        <h2 id="yours">Made in this browser</h2>
        <div class="scroll" tabindex="0" role="region" aria-labelledby="yours">
          <table>
            <thead><tr><th scope="col">Short</th><th scope="col">Long</th><th scope="col" class="number">Visits</th></tr></thead>
            <tbody>
              ${this.kept.map((link) => html`<tr>
                <td><a href=${link.short} target="_blank" rel="noopener">${link.id}</a></td>
                <td class="long" title=${link.url}>${link.url}</td>
                <td class="number">${link.clicks ?? "–"}</td>
              </tr>`)}
            </tbody>
          </table>
        </div>
        <button type="button" class="plain" @click=${this.refresh}>Refresh visits</button>
      </section>
    `;
  }

  async submit(event) {
    event.preventDefault();
    const form = new FormData(event.target);
    const wish = { urlToShorten: String(form.get("url")).trim() };
    if (form.get("alias")) wish.alias = String(form.get("alias")).trim();
    if (form.get("expires")) wish.expiresInSeconds = Number(form.get("expires"));
    this.error = wish.urlToShorten ? "" : "Enter an address first.";
    this.made = null;
    if (this.error) return this.focusUrl();
    this.busy = true;
    try {
      const made = { ...(await shorten(wish)), url: wish.urlToShorten, clicks: 0 };
      this.made = made;
      this.copied = false;
      this.keep([made, ...this.kept.filter((link) => link.id !== made.id)]);
    } catch (error) {
      this.error = capital(error.message);
      this.focusUrl();
    } finally {
      this.busy = false;
    }
  }

  focusUrl() {
    this.updateComplete.then(() => this.renderRoot.querySelector("#url").focus());
  }

  async copy() {
    await navigator.clipboard.writeText(this.made.short);
    this.copied = true;
    setTimeout(() => (this.copied = false), 2000);
  }

  async refresh() {
    const counted = await Promise.all(
      this.kept.map(async (link) => ({ ...link, clicks: (await stats(link.id).catch(() => null))?.clicks })),
    );
    this.keep(counted);
  }

  keep(links) {
    this.kept = links.slice(0, KEPT_MAX);
    localStorage.setItem(KEPT, JSON.stringify(this.kept));
  }

  static styles = css`
    main { max-width: 46rem; margin: 0 auto; padding: clamp(1rem, 4vw, 3rem) 1rem; }
    h1 { font-size: clamp(1.8rem, 5vw, 2.6rem); line-height: 1.1; margin: 0; letter-spacing: -0.02em; }
    h2 { font-size: 1.1rem; margin: 2.5rem 0 0.5rem; }
    .lead { color: var(--quiet); margin: 0.4rem 0 1.6rem; }
    label { display: block; font-weight: 600; margin-bottom: 0.3rem; }
    .row { display: flex; gap: 0.5rem; flex-wrap: wrap; }
    input, select, button { font: inherit; border-radius: 0.5rem; border: 1px solid var(--line); padding: 0.65rem 0.8rem; box-sizing: border-box; }
    input, select { background: var(--card); color: inherit; width: 100%; }
    .row input { flex: 1 1 18rem; width: auto; min-width: 0; }
    button { background: var(--brand); color: var(--brand-ink); border-color: transparent; font-weight: 600; cursor: pointer; }
    button:disabled { opacity: 0.7; cursor: progress; }
    button.plain { background: none; color: var(--brand); border-color: var(--line); padding: 0.35rem 0.8rem; margin-top: 0.6rem; }
    :is(input, select, button, a, summary, .scroll):focus-visible { outline: 3px solid var(--focus); outline-offset: 2px; }
    input[aria-invalid="true"] { border-color: var(--bad); }
    details { margin-top: 0.8rem; color: var(--quiet); }
    summary { cursor: pointer; width: fit-content; }
    .options { display: grid; grid-template-columns: repeat(auto-fit, minmax(12rem, 1fr)); gap: 0.8rem; padding-top: 0.6rem; color: var(--ink); }
    .error { color: var(--bad); min-height: 1.5em; margin: 0.6rem 0 0; font-weight: 600; }
    .result { display: flex; gap: 1rem; align-items: center; background: var(--card); border: 1px solid var(--line); border-radius: 0.8rem; padding: 1rem; margin-top: 0.6rem; flex-wrap: wrap; }
    .result > div:last-child { min-width: 0; flex: 1 1 14rem; }
    .qr { width: 7.5rem; background: #fff; border-radius: 0.4rem; overflow: hidden; line-height: 0; }
    .qr svg { width: 100%; height: auto; }
    .short { font-size: 1.15rem; font-weight: 700; overflow-wrap: anywhere; }
    a { color: var(--brand); }
    .target { color: var(--quiet); margin: 0.2rem 0 0; overflow-wrap: anywhere; }
    .scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 0.6rem; background: var(--card); }
    table { border-collapse: collapse; width: 100%; }
    th, td { text-align: left; padding: 0.5rem 0.8rem; border-top: 1px solid var(--line); white-space: nowrap; }
    thead th { border-top: 0; font-size: 0.85rem; color: var(--quiet); }
    .long { max-width: 22rem; overflow: hidden; text-overflow: ellipsis; }
    .number { text-align: right; font-variant-numeric: tabular-nums; }
  `;
}

function recall() {
  try {
    return JSON.parse(localStorage.getItem(KEPT) ?? "[]");
  } catch {
    return [];
  }
}

const capital = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

customElements.define("links-page", LinksPage);
