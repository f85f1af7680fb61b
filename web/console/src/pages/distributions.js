// CloudFront distributions: where they answer, what stands behind them, what is to be fetched anew.
import { html, nothing } from "lit";
import { textOf } from "../aws/client.js";
import { encode } from "../aws/sign.js";
import { escaped, list, root, tree } from "../aws/xml.js";
import { ask, fill } from "../shell/dialogs.js";
import { ago } from "../shell/format.js";
import { badge, facts, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const BASE = "/2020-05-31/distribution";
const IDENTITY = "/2020-05-31/origin-access-identity/cloudfront";
const XMLNS = 'xmlns="http://cloudfront.amazonaws.com/doc/2020-05-31/"';
const XML = { "content-type": "application/xml" };

// A distribution of one bucket, which it reads as `identity`.
const ofBucket = (bucket, host, identity, page, comment) => `<DistributionConfig ${XMLNS}><CallerReference>${crypto.randomUUID()}</CallerReference>
  <DefaultRootObject>${escaped(page)}</DefaultRootObject>
  <Origins><Quantity>1</Quantity><Items><Origin><Id>${escaped(bucket)}</Id><DomainName>${escaped(host)}</DomainName>
    <S3OriginConfig><OriginAccessIdentity>origin-access-identity/cloudfront/${identity}</OriginAccessIdentity></S3OriginConfig></Origin></Items></Origins>
  <DefaultCacheBehavior><TargetOriginId>${escaped(bucket)}</TargetOriginId><ViewerProtocolPolicy>allow-all</ViewerProtocolPolicy><Compress>true</Compress>
    <ForwardedValues><QueryString>false</QueryString><Cookies><Forward>none</Forward></Cookies></ForwardedValues><MinTTL>0</MinTTL></DefaultCacheBehavior>
  <Comment>${escaped(comment)}</Comment><Enabled>true</Enabled></DistributionConfig>`;

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
    return tree(await textOf(await this.client.done("cloudfront", method, path, options)));
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
    if (!this.args[0]) return this.heading("Distributions", html`<button class="main" @click=${this.create}>Create distribution</button>`);
    return this.heading(this.args[0], html`<button class="main" @click=${this.invalidate}>Fetch anew…</button><button class="danger" @click=${this.discard}>Delete</button>`, nothing, html`<a class="up" href="#/distributions">← Distributions</a>`);
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
    ], this.list.rows, html`<p>There is no distribution yet.</p><button class="main" @click=${this.create}>Create the first one</button><p class="quiet">Or deploy an application: <code>pileus deploy DIR</code></p>`)}
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

  create = async () => {
    const buckets = await this.act(async () => list((await this.client.s3("GET", "/")).Buckets, "Bucket"));
    if (!buckets) return;
    if (!buckets.length) {
      this.problem = new Error("A distribution needs something to distribute, and there is no bucket yet: create one on the Buckets page first.");
      return;
    }
    const made = await fill({
      title: "Create a distribution", action: "Create distribution",
      text: "It gets an identity of its own, and the bucket's policy lets that identity read. Nobody else gets in.",
      fields: [
        { name: "bucket", label: "Bucket", choices: buckets.map((b) => [b.Name, b.Name]) },
        { name: "page", label: "Page at /", value: "index.html", optional: true },
        { name: "comment", label: "Comment", optional: true },
      ],
      save: async ({ bucket, page, comment }) => {
        const wish = `<CloudFrontOriginAccessIdentityConfig ${XMLNS}><CallerReference>${crypto.randomUUID()}</CallerReference><Comment>${escaped(bucket)}</Comment></CloudFrontOriginAccessIdentityConfig>`;
        const identity = (await this.xml("POST", IDENTITY, { headers: XML, body: wish })).Id;
        await this.allow(bucket, identity);
        const body = ofBucket(bucket, `${bucket}.s3.${this.client.region}.amazonaws.com`, identity, page, comment);
        return this.xml("POST", BASE, { headers: XML, body });
      },
    });
    if (made) this.app.go(`#/distributions/${made.Id}`);
  };

  // Let the identity read the bucket, beside what its policy says already.
  async allow(bucket, identity) {
    const query = [["policy", ""]];
    const path = `/${encode(bucket)}`;
    let policy = { Version: "2012-10-17", Statement: [] };
    try {
      policy = JSON.parse(await this.client.s3("GET", path, { query }));
    } catch (error) {
      if (error.code !== "NoSuchBucketPolicy") throw error;
    }
    const AWS = `arn:aws:iam::cloudfront:user/CloudFront Origin Access Identity ${identity}`;
    policy.Statement = [...[].concat(policy.Statement), { Effect: "Allow", Principal: { AWS }, Action: "s3:GetObject", Resource: `arn:aws:s3:::${bucket}/*` }];
    await this.client.done("s3", "PUT", path, { query, body: JSON.stringify(policy) });
  }

  // A distribution is switched off before it is deleted; each step names the version it means.
  discard = async () => {
    const id = this.args[0];
    const sure = await ask({ title: `Delete distribution ${id}?`, text: "Its address stops to answer. The bucket and its files stay.", action: "Delete distribution", danger: true, word: id });
    if (!sure) return;
    const path = `${BASE}/${encodeURIComponent(id)}`;
    const done = await this.act(async () => {
      const now = await this.client.done("cloudfront", "GET", `${path}/config`);
      let etag = now.headers.get("etag");
      const config = root(await textOf(now));
      const enabled = [...config.children].find((child) => child.localName === "Enabled");
      if (enabled.textContent === "true") {
        enabled.textContent = "false";
        const body = new XMLSerializer().serializeToString(config);
        etag = (await this.client.done("cloudfront", "PUT", `${path}/config`, { headers: { ...XML, "if-match": etag }, body })).headers.get("etag");
      }
      await this.client.done("cloudfront", "DELETE", path, { headers: { "if-match": etag } });
    }, `${id} deleted`);
    if (done) this.app.go("#/distributions");
  };

  invalidate = async () => {
    const done = await fill({
      title: "Fetch anew from the origin", action: "Fetch anew", text: "What is kept of these paths is not served any more.",
      fields: [{ name: "paths", label: "Paths, one a line", rows: 4, value: "/*" }],
      save: ({ paths }) => {
        const all = paths.split(/\s+/).filter(Boolean);
        const body = `<InvalidationBatch ${XMLNS}><Paths><Quantity>${all.length}</Quantity><Items>${all.map((p) => `<Path>${escaped(p)}</Path>`).join("")}</Items></Paths><CallerReference>${crypto.randomUUID()}</CallerReference></InvalidationBatch>`;
        return this.client.done("cloudfront", "POST", `${BASE}/${encodeURIComponent(this.args[0])}/invalidation`, { headers: XML, body });
      },
    });
    if (!done) return;
    this.app.say("Asked for anew");
    await this.refresh();
  };
}

customElements.define("pl-distributions", Distributions);
