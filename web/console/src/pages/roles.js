// IAM roles: who may take them, and what they may do.
import { html, nothing } from "lit";
import { list } from "../aws/xml.js";
import { ask, fill } from "../shell/dialogs.js";
import { ago, pretty } from "../shell/format.js";
import { facts, grid } from "../shell/grid.js";
import { Page } from "../shell/page.js";
import { Paged } from "../shell/paged.js";

const SERVICES = [["lambda.amazonaws.com", "functions (Lambda)"], ["apigateway.amazonaws.com", "APIs (API Gateway)"], ["edgelambda.amazonaws.com", "functions at the edge"]];
const document = (text) => pretty(decodeURIComponent(text));

class Roles extends Page {
  static properties = { told: { state: true } };

  reset() {
    this.told = null;
    this.list = new Paged(this, async (Marker, size) => {
      const told = await this.client.iam("ListRoles", { MaxItems: String(size), ...(Marker ? { Marker } : {}) });
      return { rows: list(told.Roles, "member"), next: told.IsTruncated === "true" ? told.Marker : undefined };
    });
  }

  async load() {
    const RoleName = this.args[0];
    if (!RoleName) return this.list.again();
    const [role, attached, inline] = await Promise.all([
      this.client.iam("GetRole", { RoleName }),
      this.client.iam("ListAttachedRolePolicies", { RoleName }),
      this.client.iam("ListRolePolicies", { RoleName }),
    ]);
    const names = list(inline.PolicyNames, "member");
    const texts = await Promise.all(names.map((PolicyName) => this.client.iam("GetRolePolicy", { RoleName, PolicyName })));
    this.told = { role: role.Role, attached: list(attached.AttachedPolicies, "member"), inline: texts };
  }

  head() {
    if (!this.args[0]) return this.heading("Roles", html`<button class="main" @click=${this.create}>Create role</button>`);
    return this.heading(this.args[0], html`<button @click=${this.attach}>Attach policy</button><button @click=${() => this.write()}>Write inline policy</button><button class="danger" @click=${this.discard}>Delete</button>`,
      nothing, html`<a class="up" href="#/roles">← Roles</a>`);
  }

  body() {
    return this.args[0] ? this.one() : this.all();
  }

  all() {
    const trusted = (role) => {
      const told = JSON.parse(decodeURIComponent(role.AssumeRolePolicyDocument)).Statement;
      return [].concat(told).flatMap((s) => Object.values(s.Principal ?? {}).flat()).join(", ");
    };
    return html`${grid("Roles", [
      { label: "Role", cell: (r) => html`<a href="#/roles/${encodeURIComponent(r.RoleName)}">${r.RoleName}</a>` },
      { label: "May be taken by", cell: trusted },
      { label: "Made", cell: (r) => ago(Date.parse(r.CreateDate)) },
    ], this.list.rows, html`<p>There is no role yet. Functions run as one.</p><button class="main" @click=${this.create}>Create the first one</button>`)}
    ${this.list.rows.length ? this.list.nav("Roles") : nothing}`;
  }

  one() {
    const { role, attached, inline } = this.told;
    return html`${facts([["ARN", html`<code>${role.Arn}</code>`, true], ["Made", ago(Date.parse(role.CreateDate))], ["Sessions last at most", `${Number(role.MaxSessionDuration) / 3600} h`]])}
      <section><h2>Attached policies</h2>${grid("Attached policies", [
        { label: "Policy", cell: (p) => p.PolicyName },
        { label: "ARN", cell: (p) => html`<code>${p.PolicyArn}</code>` },
        { label: "", cell: (p) => html`<button class="plain small" aria-label="Detach ${p.PolicyName}" @click=${() => this.detach(p)}>Detach</button>` },
      ], attached, "No managed policy is attached.")}</section>
      <section><h2>Inline policies</h2>${inline.length
        ? inline.map((p) => html`<div class="panel"><div class="bar"><h3>${p.PolicyName}</h3><div class="acts"><button class="small" @click=${() => this.write(p)}>Change</button><button class="small plain" aria-label="Delete ${p.PolicyName}" @click=${() => this.erase(p)}>Delete</button></div></div>
            <pre tabindex="0">${document(p.PolicyDocument)}</pre></div>`)
        : html`<div class="empty">This role has no policy of its own.</div>`}</section>
      <section><h2>Who may take it</h2><pre tabindex="0">${document(role.AssumeRolePolicyDocument)}</pre></section>`;
  }

  create = async () => {
    const made = await fill({
      title: "Create a role", action: "Create role",
      fields: [{ name: "RoleName", label: "Name", placeholder: "hello-role" }, { name: "service", label: "Taken by", choices: SERVICES }],
      save: async ({ RoleName, service }) => {
        const AssumeRolePolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement: [{ Effect: "Allow", Principal: { Service: service }, Action: "sts:AssumeRole" }] });
        await this.client.iam("CreateRole", { RoleName, AssumeRolePolicyDocument });
        if (service.startsWith("lambda")) await this.client.iam("AttachRolePolicy", { RoleName, PolicyArn: "arn:aws:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole" });
        return RoleName;
      },
    });
    if (made) this.app.go(`#/roles/${encodeURIComponent(made)}`);
  };

  attach = async () => {
    const done = await fill({
      title: "Attach a managed policy", action: "Attach",
      fields: [{ name: "PolicyArn", label: "ARN of the policy", value: "arn:aws:iam::aws:policy/AmazonDynamoDBFullAccess", hint: "AWS's own policies are known by their ARNs." }],
      save: ({ PolicyArn }) => this.client.iam("AttachRolePolicy", { RoleName: this.args[0], PolicyArn }),
    });
    if (done) await this.refresh();
  };

  async detach(p) {
    if (!(await ask({ title: `Detach ${p.PolicyName}?`, text: "What it allowed is refused from then on.", action: "Detach", danger: true }))) return;
    if (await this.act(() => this.client.iam("DetachRolePolicy", { RoleName: this.args[0], PolicyArn: p.PolicyArn }), "Detached")) await this.refresh(true);
  }

  async write(p) {
    const example = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: "dynamodb:GetItem", Resource: "*" }] };
    const done = await fill({
      title: p ? `Policy ${p.PolicyName}` : "Write an inline policy", action: "Save policy", wide: true,
      fields: [...(p ? [] : [{ name: "PolicyName", label: "Name", placeholder: "read-orders" }]),
        { name: "PolicyDocument", label: "Policy as JSON", rows: 14, value: p ? document(p.PolicyDocument) : JSON.stringify(example, null, 2) }],
      save: (told) => this.client.iam("PutRolePolicy", { RoleName: this.args[0], PolicyName: p?.PolicyName, ...told }),
    });
    if (!done) return;
    this.app.say("Policy saved");
    await this.refresh();
  }

  async erase(p) {
    if (!(await ask({ title: `Delete policy ${p.PolicyName}?`, text: "What it allowed is refused from then on.", action: "Delete policy", danger: true }))) return;
    if (await this.act(() => this.client.iam("DeleteRolePolicy", { RoleName: this.args[0], PolicyName: p.PolicyName }), "Policy deleted")) await this.refresh(true);
  }

  discard = async () => {
    const RoleName = this.args[0];
    if (!(await ask({ title: `Delete role ${RoleName}?`, text: "Its policies are taken off first. Functions that run as it fail from then on.", action: "Delete role", danger: true, word: RoleName }))) return;
    const done = await this.act(async () => {
      for (const p of this.told.attached) await this.client.iam("DetachRolePolicy", { RoleName, PolicyArn: p.PolicyArn });
      for (const p of this.told.inline) await this.client.iam("DeleteRolePolicy", { RoleName, PolicyName: p.PolicyName });
      await this.client.iam("DeleteRole", { RoleName });
    }, `${RoleName} deleted`);
    if (done) this.app.go("#/roles");
  };
}

customElements.define("pl-roles", Roles);
