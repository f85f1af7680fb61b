// CloudFront distributions: where they answer, what stands behind them, what is to be fetched anew.
import { html, nothing } from "lit";
import { list, tree } from "../aws/xml.js";
import { fill } from "../shell/dialogs.js";
import { ago } from "../shell/format.js";
import { badge, facts, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const BASE = "/2020-05-31/distribution";

class Distributions extends Page {
  static properties = { told: { state: true }, ended: { state: true } };

  reset() {
    Object.assign(this, { told: null, ended: [] });
    this.list = new Paged(this, async (Marker, size) => {
      const told = await this.xml("GET", BASE, { query: [["MaxItems", String(size)], ...(Marker ? [["Marker", Marker]] : [])] });
      return { rows: list(told.Items, "DistributionSummary"), next: told.NextMarker || undefined };
    });
  }

  async xml(method, path, options) {
    return tree(await (await this.client.done("cloudfront", method, path, options)).text());
  }

  // Where a distribution answers to this browser.
  address(d) {
    const port = location.port ? `:${location.port}` : "";
    return `${location.protocol}//${d.DomainName}${port}/`;
  }

  async load() {
    const [id] = this.args;
    if (!id) return this.list.again();
    const [told, ended] = await Promise.all([this.xml("GET", `${BASE}/${encodeURIComponent(id)}`), this.xml("GET", `${BASE}/${encodeURIComponent(id)}/invalidation`)]);
    Object.assign(this, { told, ended: list(ended.Items, "InvalidationSummary") });
  }

  head() {
    if (!this.args[0]) return this.heading("Distributions");
    return this.heading(this.args[0], html`<button class="main" @click=${this.invalidate}>Fetch anew…</button>`, nothing, html`<a class="up" href="#/distributions">← Distributions</a>`);
  }

  body() {
    return this.args[0] ? this.one() : this.all();
  }

  all() {
    return html`${grid("Distributions", [
      { label: "Distribution", cell: (d) => html`<a href="#/distributions/${d.Id}">${d.Id}</a>` },
      { label: "State", cell: (d) => (d.Enabled === "true" ? badge("on", "good") : badge("off", "off")) },
      { label: "Address", cell: (d) => html`<a href=${this.address(d)} target="_blank" rel="noopener">${d.DomainName}</a>` },
      { label: "Origins", cell: (d) => list(d.Origins?.Items, "Origin").map((o) => o.DomainName).join(", ") },
      { label: "Comment", cell: (d) => d.Comment },
    ], this.list.rows, html`<p>There is no distribution yet.</p><p class="quiet"><code>aws cloudfront create-distribution …</code> makes one, or deploy an application: <code>pileus deploy DIR</code></p>`)}
    ${this.list.rows.length ? this.list.nav("Distributions") : nothing}`;
  }

  one() {
    const d = this.told;
    const c = d.DistributionConfig;
    const behaviours = [...list(c.CacheBehaviors?.Items, "CacheBehavior"), { ...c.DefaultCacheBehavior, PathPattern: "everything else" }];
    return html`${facts([
      ["State", c.Enabled === "true" ? badge("on", "good") : badge("off", "off")],
      ["Address", html`<a href=${this.address(d)} target="_blank" rel="noopener">${d.DomainName}</a>`, true],
      ["Other names", list(c.Aliases?.Items, "CNAME").join(", ")],
      ["Page at /", c.DefaultRootObject],
      ["Changed", ago(Date.parse(d.LastModifiedTime))],
      ["Comment", c.Comment],
    ])}
    <section><h2>Origins</h2>${grid("Origins", [
      { label: "Origin", cell: (o) => o.Id },
      { label: "Host", cell: (o) => o.DomainName },
      { label: "Path", cell: (o) => o.OriginPath },
      { label: "Kind", cell: (o) => (o.CustomOriginConfig ? "HTTP" : "bucket") },
    ], list(c.Origins?.Items, "Origin"))}</section>
    <section><h2>Behaviours</h2>${grid("Behaviours", [
      { label: "Path", cell: (b) => html`<code>${b.PathPattern}</code>` },
      { label: "Origin", cell: (b) => b.TargetOriginId },
      { label: "Viewers", cell: (b) => ({ "allow-all": "HTTP and HTTPS", "redirect-to-https": "redirected to HTTPS", "https-only": "HTTPS only" })[b.ViewerProtocolPolicy] ?? b.ViewerProtocolPolicy },
      { label: "Kept for", num: true, cell: (b) => (b.DefaultTTL ? `${b.DefaultTTL} s` : "as its policy says") },
      { label: "Compressed", cell: (b) => (b.Compress === "true" ? "yes" : "no") },
    ], behaviours)}</section>
    <section><h2>Fetched anew</h2>${grid("Invalidations", [
      { label: "Id", cell: (i) => html`<code>${i.Id}</code>` },
      { label: "State", cell: (i) => i.Status },
      { label: "Asked", cell: (i) => ago(Date.parse(i.CreateTime)) },
    ], this.ended.slice(0, 10), "Nothing was invalidated.")}</section>`;
  }

  invalidate = async () => {
    const done = await fill({
      title: "Fetch anew from the origin", action: "Fetch anew", text: "What is kept of these paths is not served any more.",
      fields: [{ name: "paths", label: "Paths, one a line", rows: 4, value: "/*" }],
      save: ({ paths }) => {
        const all = paths.split(/\s+/).filter(Boolean);
        const text = (value) => value.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
        const body = `<InvalidationBatch xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"><Paths><Quantity>${all.length}</Quantity><Items>${all.map((p) => `<Path>${text(p)}</Path>`).join("")}</Items></Paths><CallerReference>${crypto.randomUUID()}</CallerReference></InvalidationBatch>`;
        return this.client.done("cloudfront", "POST", `${BASE}/${encodeURIComponent(this.args[0])}/invalidation`, { headers: { "content-type": "application/xml" }, body });
      },
    });
    if (!done) return;
    this.app.say("Asked for anew");
    await this.refresh();
  };
}

customElements.define("pl-distributions", Distributions);
