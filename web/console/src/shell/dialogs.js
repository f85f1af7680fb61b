// Questions before something is changed, and forms for what is made. Each is a promise of the answer.
import { html, nothing, render } from "lit";

function open(template, label) {
  const dialog = document.createElement("dialog");
  dialog.setAttribute("aria-label", label);
  document.body.append(dialog);
  return new Promise((resolve) => {
    let answer = null;
    const close = (value) => {
      answer = value;
      dialog.close();
    };
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(answer);
    });
    const draw = () => render(template(close, draw), dialog);
    draw();
    dialog.showModal();
    dialog.querySelector("[autofocus], input, textarea, select, button.main")?.focus();
  });
}

// Ask yes or no. `word`: what must be typed first, for what cannot be undone.
export function ask({ title, text, action, danger = false, word = "" }) {
  let typed = "";
  return open(
    (close, draw) => html`<form @submit=${(e) => (e.preventDefault(), typed === word && close(true))}>
      <h2>${title}</h2>
      <p>${text}</p>
      ${word
        ? html`<label for="word">Type <b>${word}</b> to go on</label>
            <input id="word" autocomplete="off" autocapitalize="none" spellcheck="false" @input=${(e) => ((typed = e.target.value), draw())} />`
        : nothing}
      <div class="acts">
        <button type="button" class="plain" ?autofocus=${danger && !word} @click=${() => close(false)}>Cancel</button>
        <button class=${danger ? "danger" : "main"} ?disabled=${typed !== word}>${action}</button>
      </div>
    </form>`,
    title,
  );
}

// Fill in a form. `fields`: {name, label, value, hint, rows, choices, check, optional, type}; `save(values)` may throw: it is said in the form,
// which stays. Answers what `save` answered, null when left.
export function fill({ title, text = "", fields, action, save, wide = false }) {
  let problem = null;
  let busy = false;
  const input = (f) => {
    if (f.choices) {
      return html`<select id=${f.name} name=${f.name}>
        ${f.choices.map(([value, label]) => html`<option value=${value} ?selected=${value === f.value}>${label}</option>`)}
      </select>`;
    }
    if (f.rows) {
      return html`<textarea id=${f.name} name=${f.name} rows=${f.rows} spellcheck="false" autocapitalize="none" .value=${f.value ?? ""} ?required=${!f.optional}></textarea>`;
    }
    if (f.type === "checkbox") return html`<input id=${f.name} name=${f.name} type="checkbox" ?checked=${f.value} />`;
    return html`<input id=${f.name} name=${f.name} type=${f.type ?? "text"} .value=${f.value ?? ""} autocomplete="off" autocapitalize="none" spellcheck="false"
      ?required=${!f.optional} placeholder=${f.placeholder ?? ""} aria-describedby=${f.hint ? `${f.name}-hint` : nothing} />`;
  };
  const submit = async (event, close, draw) => {
    event.preventDefault();
    if (busy) return;
    const values = Object.fromEntries(new FormData(event.target));
    [busy, problem] = [true, null];
    draw();
    try {
      close((await save(values)) ?? true);
    } catch (error) {
      problem = error;
      busy = false;
      draw();
    }
  };
  return open(
    (close, draw) => html`<form class=${wide ? "wide" : ""} @submit=${(e) => submit(e, close, draw)}>
      <h2>${title}</h2>
      ${text ? html`<p>${text}</p>` : nothing}
      ${fields.map((f) => html`<div class="field ${f.type === "checkbox" ? "check" : ""}">
        <label for=${f.name}>${f.label}</label>${input(f)}
        ${f.hint ? html`<p class="hint" id="${f.name}-hint">${f.hint}</p>` : nothing}
      </div>`)}
      ${problem ? html`<p class="error" role="alert">${problem.code ? `${problem.code}: ` : ""}${problem.message}</p>` : nothing}
      <div class="acts">
        <button type="button" class="plain" @click=${() => close(null)}>Cancel</button>
        <button class="main" aria-disabled=${busy}>${busy ? "Working…" : action}</button>
      </div>
    </form>`,
    title,
  );
}

// Show something until it is closed; `body` may change with `draw`.
export function show(title, body, wide = true) {
  return open(
    (close, draw) => html`<div class="sheet ${wide ? "wide" : ""}">
      <div class="bar"><h2>${title}</h2><button class="plain" aria-label="Close" title="Close" @click=${() => close(null)}>✕</button></div>
      ${body(close, draw)}
    </div>`,
    title,
  );
}
