// Lists come ten at a time, with previous and next.
import { html, nothing } from "lit";

export const SIZE = 10;

export class Paged {
  // `fetch(token, size)` answers {rows, next}: `next` is the token of the rows that follow, undefined at the end.
  constructor(page, fetch, size = SIZE) {
    Object.assign(this, { page, fetch, size, rows: [], next: undefined, before: [], token: undefined });
  }

  async show(token) {
    const { rows, next } = await this.fetch(token, this.size);
    Object.assign(this, { rows, next, token });
    this.page.requestUpdate();
  }

  first() {
    this.before = [];
    return this.show(undefined);
  }

  // The same rows as they are now.
  again() {
    return this.show(this.token);
  }

  forward() {
    return this.page.act(async () => {
      const here = this.token;
      await this.show(this.next);
      this.before = [...this.before, here];
    });
  }

  back() {
    return this.page.act(async () => {
      const there = this.before.at(-1);
      await this.show(there);
      this.before = this.before.slice(0, -1);
    });
  }

  nav(what = "Rows") {
    const start = this.before.length * this.size + 1;
    const end = start + this.rows.length - 1;
    const alone = !this.before.length && this.next === undefined;
    return html`<nav class="pager" aria-label=${`${what}: previous and next`}>
      <button class="plain" ?disabled=${!this.before.length} @click=${() => this.back()}>← Previous</button>
      <span role="status">${this.rows.length ? `${what} ${start}–${end}${alone ? ` of ${end}` : ""}` : nothing}</span>
      <button class="plain" ?disabled=${this.next === undefined} @click=${() => this.forward()}>Next →</button>
    </nav>`;
  }
}

// Pages of a list that came whole.
export function whole(rows) {
  return (token, size) => {
    const at = token ?? 0;
    return { rows: rows.slice(at, at + size), next: at + size < rows.length ? at + size : undefined };
  };
}
