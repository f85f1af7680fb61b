// Lambda layers: what several functions share.
import { html, nothing } from "lit";
import { ask, fill } from "../shell/dialogs.js";
import { ago } from "../shell/format.js";
import { grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";
import { inBase64 } from "./functions.js";

const BASE = "/2018-10-31/layers";

class Layers extends Page {
  reset() {
    this.list = new Paged(this, async (Marker, size) => {
      const name = this.args[0];
      const query = [["MaxItems", String(size)], ...(Marker ? [["Marker", Marker]] : [])];
      const told = await this.client.rest("lambda", "GET", name ? `${BASE}/${encodeURIComponent(name)}/versions` : BASE, { query });
      return { rows: told.Layers ?? told.LayerVersions, next: told.NextMarker ?? undefined };
    });
  }

  load() {
    return this.list.again();
  }

  head() {
    const name = this.args[0];
    const publish = html`<button class="main" @click=${this.publish}>Publish ${name ? "version" : "layer"}</button>`;
    return name ? this.heading(name, publish, nothing, html`<a class="up" href="#/layers">← Layers</a>`) : this.heading("Layers", publish);
  }

  body() {
    const name = this.args[0];
    const empty = html`<p>There is no layer yet.</p><button class="main" @click=${this.publish}>Publish the first one</button>`;
    return html`${name
      ? grid("Versions", [
          { label: "Version", cell: (v) => String(v.Version) },
          { label: "ARN", cell: (v) => html`<code>${v.LayerVersionArn}</code>` },
          { label: "Runtimes", cell: (v) => (v.CompatibleRuntimes ?? []).join(", ") },
          { label: "Published", cell: (v) => ago(Date.parse(v.CreatedDate)) },
          { label: "", cell: (v) => html`<button class="plain small" aria-label="Delete version ${v.Version}" @click=${() => this.drop(v)}>Delete</button>` },
        ], this.list.rows, "This layer has no version any more.")
      : grid("Layers", [
          { label: "Layer", cell: (l) => html`<a href="#/layers/${encodeURIComponent(l.LayerName)}">${l.LayerName}</a>` },
          { label: "Newest version", num: true, cell: (l) => String(l.LatestMatchingVersion.Version) },
          { label: "Runtimes", cell: (l) => (l.LatestMatchingVersion.CompatibleRuntimes ?? []).join(", ") },
          { label: "About", cell: (l) => l.LatestMatchingVersion.Description },
        ], this.list.rows, empty)}
    ${this.list.rows.length ? this.list.nav(name ? "Versions" : "Layers") : nothing}`;
  }

  publish = async () => {
    const made = await fill({
      title: "Publish a layer version", action: "Publish", text: "The zip is laid out at /opt: python/ for Python, nodejs/node_modules/ for Node.js.",
      fields: [
        { name: "name", label: "Name", value: this.args[0] ?? "" },
        { name: "Description", label: "About", optional: true },
        { name: "runtimes", label: "Runtimes", value: "python3.12", optional: true },
        { name: "zip", label: "Content (.zip)", type: "file" },
      ],
      save: async ({ name, zip, Description, runtimes }) => {
        const CompatibleRuntimes = runtimes.split(/[\s,]+/).filter(Boolean);
        const input = { Description, CompatibleRuntimes, Content: { ZipFile: await inBase64(zip) } };
        await this.client.rest("lambda", "POST", `${BASE}/${encodeURIComponent(name)}/versions`, { input, patience: 120_000 });
        return name;
      },
    });
    if (!made) return;
    this.app.say("Layer version published");
    if (made === this.args[0]) await this.refresh(true);
    else this.app.go(`#/layers/${encodeURIComponent(made)}`);
  };

  async drop(v) {
    if (!(await ask({ title: `Delete version ${v.Version}?`, text: "Functions that have it keep it.", action: "Delete version", danger: true }))) return;
    const done = await this.act(() => this.client.rest("lambda", "DELETE", `${BASE}/${encodeURIComponent(this.args[0])}/versions/${v.Version}`), "Version deleted");
    if (done) await this.refresh(true);
  }
}

customElements.define("pl-layers", Layers);
