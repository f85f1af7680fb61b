// S3 buckets: browse by prefix, bring files in by drag and drop, look at them, take them away; the policy.
import { html, nothing } from "lit";
import { encode, presign } from "../aws/sign.js";
import { list } from "../aws/xml.js";
import { ask, fill } from "../shell/dialogs.js";
import { ago, bytes, moment, pretty, save } from "../shell/format.js";
import { grid, tabs } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged, whole } from "../shell/paged.js";
import { showValue } from "../shell/value.js";

const PART = 16 * 1024 * 1024;
const SHOWN = 64 * 1024;
const HELD = 512 * 1024 * 1024; // larger files do not go through the page's memory
const LONG = 10 * 60_000;
const place = (bucket, key = "") => `/${encode(bucket)}${key ? `/${key.split("/").map(encode).join("/")}` : ""}`;

class Buckets extends Page {
  static properties = { tab: { state: true }, sending: { state: true }, over: { state: true }, policy: { state: true } };

  reset() {
    Object.assign(this, { tab: "objects", over: false, policy: undefined });
    this.list = new Paged(this, async (token, size) => {
      if (token === undefined) this.all = list((await this.client.s3("GET", "/")).Buckets, "Bucket");
      return whole(this.all)(token, size);
    });
    this.objects = new Paged(this, (token, size) => this.page(token, size));
  }

  get bucket() {
    return this.args[0];
  }

  // What keys begin with: the folders in the address.
  get folder() {
    return this.args.length > 1 ? `${this.args.slice(1).join("/")}/` : "";
  }

  async load() {
    if (!this.bucket) return this.list.again();
    await this.objects.again();
    if (this.tab === "policy") await this.readPolicy();
  }

  async page(token, size) {
    const query = [["list-type", "2"], ["delimiter", "/"], ["max-keys", String(size)], ["prefix", this.folder + (this.begins ?? "")]];
    if (token) query.push(["continuation-token", token]);
    const told = await this.client.s3("GET", place(this.bucket), { query });
    const folders = list(told.CommonPrefixes).map((p) => ({ folder: p.Prefix }));
    return { rows: [...folders, ...list(told.Contents)], next: told.NextContinuationToken || undefined };
  }

  head() {
    if (!this.bucket) return this.heading("Buckets", html`<button class="main" @click=${this.create}>Create bucket</button>`);
    return this.heading(this.bucket, html`<button class="main" @click=${this.choose}>Upload files</button><button class="danger" @click=${this.discard}>Delete bucket</button>`,
      nothing, html`<a class="up" href="#/buckets">← Buckets</a>`);
  }

  body() {
    if (!this.bucket) {
      return html`${grid("Buckets", [
        { label: "Bucket", cell: (b) => html`<a href="#/buckets/${encodeURIComponent(b.Name)}">${b.Name}</a>` },
        { label: "Made", cell: (b) => html`<span title=${moment(Date.parse(b.CreationDate))}>${ago(Date.parse(b.CreationDate))}</span>` },
      ], this.list.rows, html`<p>There is no bucket yet.</p><button class="main" @click=${this.create}>Create the first one</button><p class="quiet">Or: <code>aws s3 mb s3://NAME</code></p>`)}
      ${this.list.rows.length ? this.list.nav("Buckets") : nothing}`;
    }
    return html`${tabs("Bucket", [["objects", "Objects"], ["policy", "Policy"]], this.tab, this.pick)}
      ${this.tab === "objects" ? this.browse() : this.rules()}`;
  }

  pick = (id) => {
    this.tab = id;
    if (id === "policy") this.act(() => this.readPolicy());
  };

  browse() {
    const steps = this.args.slice(1);
    const link = (n) => `#/buckets/${[this.bucket, ...steps.slice(0, n)].map(encodeURIComponent).join("/")}`;
    return html`<div class="drop" ?data-over=${this.over} @dragover=${(e) => (e.preventDefault(), (this.over = true))} @dragleave=${() => (this.over = false)} @drop=${this.dropped}>
      ${this.sending ? this.progress() : nothing}
      ${steps.length ? html`<nav class="crumbs" aria-label="Folders"><a href=${link(0)}>${this.bucket}</a>${steps.map((s, n) => html`<span aria-hidden="true">/</span>${n === steps.length - 1 ? html`<b>${s}</b>` : html`<a href=${link(n + 1)}>${s}</a>`}`)}</nav>` : nothing}
      <form class="search" @submit=${this.jump}><div class="field"><label for="begins">Names that begin with</label><input id="begins" name="begins" .value=${this.begins ?? ""} placeholder="anything" autocomplete="off" autocapitalize="none" spellcheck="false" /></div><button>Jump</button></form>
      ${grid("Objects", [
        { label: "Name", cell: (o) => (o.folder ? html`<a href="#/buckets/${[this.bucket, ...o.folder.slice(0, -1).split("/")].map(encodeURIComponent).join("/")}">${o.folder.slice(this.folder.length)}</a>` : html`<button class="link" @click=${() => this.view(o)}>${o.Key.slice(this.folder.length) || "(the folder itself)"}</button>`) },
        { label: "Size", num: true, cell: (o) => (o.folder ? "" : bytes(o.Size)) },
        { label: "Changed", cell: (o) => (o.folder ? "" : html`<span title=${moment(Date.parse(o.LastModified))}>${ago(Date.parse(o.LastModified))}</span>`) },
        { label: "Class", quiet: true, cell: (o) => (o.folder || o.StorageClass === "STANDARD" ? "" : o.StorageClass) },
        { label: "", cell: (o) => (o.folder ? nothing : html`<button class="plain small" @click=${() => this.act(() => this.fetch(o))} aria-label="Download ${o.Key}">Download</button><button class="plain small" @click=${() => this.drop(o)} aria-label="Delete ${o.Key}">Delete</button>`) },
      ], this.objects.rows, html`<p>${this.begins ? "Nothing begins so." : "Nothing is here yet."}</p><p>Drop files here, or <button class="link" @click=${this.choose}>choose them</button>.</p>`)}
      ${this.objects.nav("Objects")}
      ${this.objects.rows.length ? html`<p class="hint">Drop files anywhere on this list to upload them${this.folder ? html` to <b>${this.folder}</b>` : ""}.</p>` : nothing}
    </div>`;
  }

  jump = async (event) => {
    event.preventDefault();
    this.begins = event.target.elements.begins.value;
    await this.act(() => this.objects.first());
  };

  progress() {
    const { name, done, total, files, file, stop } = this.sending;
    return html`<div class="sending panel" role="status"><div class="bar"><span>Uploading ${name}${files > 1 ? ` (${file} of ${files})` : ""}: ${bytes(done)} of ${bytes(total)}</span><button class="small" @click=${stop}>Stop</button></div>
      <progress max=${total || 1} value=${done} aria-label="Upload"></progress></div>`;
  }

  dropped = (event) => {
    event.preventDefault();
    this.over = false;
    this.upload([...event.dataTransfer.files]);
  };

  choose = () => {
    const chosen = Object.assign(document.createElement("input"), { type: "file", multiple: true });
    chosen.addEventListener("change", () => this.upload([...chosen.files]));
    chosen.click();
  };

  async upload(files) {
    if (!files.length) return;
    const stopping = new AbortController();
    const total = files.reduce((sum, f) => sum + f.size, 0);
    let sent = 0;
    const step = (file, at) => (more) => {
      sent += more;
      this.sending = { name: file.name, done: sent, total, files: files.length, file: at + 1, stop: () => stopping.abort() };
    };
    const done = await this.act(async () => {
      for (const [at, file] of files.entries()) {
        const told = step(file, at);
        told(0);
        await (file.size > PART ? this.inParts(file, told, stopping.signal) : this.atOnce(file, told, stopping.signal));
      }
      return true;
    }, files.length === 1 ? `${files[0].name} is stored` : `${files.length} files are stored`);
    this.sending = null;
    if (done) await this.refresh(true);
    else if (stopping.signal.aborted) this.app.say("Upload stopped");
  }

  async atOnce(file, told, signal) {
    const headers = { "content-type": file.type || "application/octet-stream" };
    await this.client.done("s3", "PUT", place(this.bucket, this.folder + file.name), { headers, body: file, signal, patience: LONG });
    told(file.size);
  }

  // Long files go in parts: each is durable when it is answered. A stopped upload is taken back.
  async inParts(file, told, signal) {
    const path = place(this.bucket, this.folder + file.name);
    const headers = { "content-type": file.type || "application/octet-stream" };
    const { UploadId } = await this.client.s3("POST", path, { query: [["uploads", ""]], headers });
    try {
      const parts = [];
      for (let at = 0; at < file.size; at += PART) {
        const body = file.slice(at, at + PART);
        const query = [["partNumber", String(parts.length + 1)], ["uploadId", UploadId]];
        const answer = await this.client.done("s3", "PUT", path, { query, body, signal, patience: LONG });
        parts.push(`<Part><PartNumber>${parts.length + 1}</PartNumber><ETag>${answer.headers.get("etag")}</ETag></Part>`);
        told(body.size);
      }
      const body = `<CompleteMultipartUpload>${parts.join("")}</CompleteMultipartUpload>`;
      const done = await this.client.s3("POST", path, { query: [["uploadId", UploadId]], body, patience: LONG });
      if (done.Code) throw new Error(done.Message);
    } catch (error) {
      await this.client.s3("DELETE", path, { query: [["uploadId", UploadId]] });
      throw error;
    }
  }

  async view(o) {
    const first = Number(o.Size) > SHOWN ? { range: `bytes=0-${SHOWN - 1}` } : {};
    const answer = await this.act(() => this.client.done("s3", "GET", place(this.bucket, o.Key), { headers: first }));
    if (!answer) return;
    const type = answer.headers.get("content-type") ?? "";
    const data = new Uint8Array(await answer.arrayBuffer());
    const about = html`<span class="quiet">${type}</span>`;
    await showValue(o.Key, data, { full: Number(o.Size), whole: () => this.blob(o), buttons: about });
  }

  async blob(o) {
    return (await this.client.done("s3", "GET", place(this.bucket, o.Key), { patience: LONG })).blob();
  }

  async fetch(o) {
    const name = o.Key.split("/").pop();
    if (Number(o.Size) <= HELD) return save(name, await this.blob(o));
    // Too long for the page's memory: an address that holds for an hour, at the API's own port.
    const host = `${location.hostname}:${this.app.session.cloud.port}`;
    const path = place(this.bucket, o.Key);
    const query = await presign({ host, path, region: this.client.region, keys: this.client.keys, seconds: 3600, date: new Date(Date.now() + this.client.skew) });
    window.open(`http://${host}${path}?${query}`, "_blank", "noopener");
    return true;
  }

  async drop(o) {
    const sure = await ask({ title: "Delete this object?", text: html`<code>${o.Key}</code>`, action: "Delete object", danger: true });
    if (!sure) return;
    const done = await this.act(() => this.client.done("s3", "DELETE", place(this.bucket, o.Key)), "Object deleted");
    if (done) await this.refresh(true);
  }

  async readPolicy() {
    try {
      this.policy = await this.client.s3("GET", place(this.bucket), { query: [["policy", ""]] });
    } catch (error) {
      if (error.code !== "NoSuchBucketPolicy") throw error;
      this.policy = "";
    }
  }

  rules() {
    if (this.policy === undefined) return nothing;
    return html`<div class="acts"><button @click=${this.writePolicy}>${this.policy ? "Change policy" : "Write a policy"}</button>
        ${this.policy ? html`<button class="danger" @click=${this.dropPolicy}>Delete policy</button>` : nothing}</div>
      <div class="gap">${this.policy ? html`<pre tabindex="0">${pretty(this.policy)}</pre>` : html`<div class="empty">This bucket has no policy: only identities of this account that are allowed may use it.</div>`}</div>`;
  }

  writePolicy = async () => {
    const arn = `arn:aws:s3:::${this.bucket}`;
    const example = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { AWS: `arn:aws:iam::${this.app.session.who.Account}:root` }, Action: "s3:GetObject", Resource: `${arn}/*` }] };
    const done = await fill({
      title: `Policy of ${this.bucket}`, action: "Save policy", wide: true,
      fields: [{ name: "policy", label: "Policy as JSON", rows: 16, value: this.policy ? pretty(this.policy) : JSON.stringify(example, null, 2) }],
      save: ({ policy }) => this.client.done("s3", "PUT", place(this.bucket), { query: [["policy", ""]], body: policy }),
    });
    if (!done) return;
    this.app.say("Policy saved");
    await this.act(() => this.readPolicy());
  };

  dropPolicy = async () => {
    if (!(await ask({ title: "Delete the policy?", text: "Whoever was allowed by it alone is refused from then on.", action: "Delete policy", danger: true }))) return;
    await this.act(async () => {
      await this.client.done("s3", "DELETE", place(this.bucket), { query: [["policy", ""]] });
      await this.readPolicy();
    }, "Policy deleted");
  };

  create = async () => {
    const region = this.client.region;
    const body = region === "us-east-1" ? null : `<CreateBucketConfiguration><LocationConstraint>${region}</LocationConstraint></CreateBucketConfiguration>`;
    const done = await fill({
      title: "Create a bucket", action: "Create bucket",
      fields: [{ name: "name", label: "Name", placeholder: "photos", hint: "3 to 63 lower-case letters, digits, dots, dashes; unique in this cloud" }],
      save: ({ name }) => this.client.done("s3", "PUT", place(name), { body }).then(() => name),
    });
    if (done) this.app.go(`#/buckets/${encodeURIComponent(done)}`);
  };

  discard = async () => {
    const sure = await ask({ title: `Delete bucket ${this.bucket}?`, text: "It must be empty.", action: "Delete bucket", danger: true, word: this.bucket });
    if (!sure) return;
    if (await this.act(() => this.client.done("s3", "DELETE", place(this.bucket)), `${this.bucket} deleted`)) this.app.go("#/buckets");
  };
}

customElements.define("pl-buckets", Buckets);
