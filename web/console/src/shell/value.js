// Bytes made readable: as text, JSON, MessagePack, or in hexadecimal; the first that fits is shown.
import { html, nothing } from "lit";
import { unpack } from "../aws/msgpack.js";
import { show } from "./dialogs.js";
import { bytes as size, save } from "./format.js";
import { tabs } from "./grid.js";

const SHOWN = 64 * 1024;
const decoder = new TextDecoder("utf-8", { fatal: true });

function asText(data) {
  const text = decoder.decode(data);
  // eslint-disable-next-line no-control-regex
  if (/[\u0000-\u0008\u000e-\u001f]/.test(text)) throw new RangeError("not text");
  return text;
}

const asJson = (data) => JSON.stringify(JSON.parse(asText(data)), null, 2);
const asPack = (data) => JSON.stringify(unpack(data), null, 2);

function asHex(data) {
  const lines = [];
  for (let at = 0; at < data.length; at += 16) {
    const row = [...data.subarray(at, at + 16)];
    const hex = row.map((b) => b.toString(16).padStart(2, "0")).join(" ").padEnd(47);
    lines.push(`${at.toString(16).padStart(6, "0")}  ${hex}  ${row.map((b) => (b > 31 && b < 127 ? String.fromCharCode(b) : "·")).join("")}`);
  }
  return lines.join("\n");
}

const FORMS = [["json", "JSON", asJson], ["pack", "MessagePack", asPack], ["text", "Text", asText], ["hex", "Hex", asHex]];

// The forms that `data` (a Uint8Array) has: [[id, label, text], …]. A bare number says little: hex before it.
export function forms(data) {
  const told = [];
  for (const [id, label, read] of FORMS) {
    try {
      told.push([id, label, read(data)]);
    } catch {
      continue; // it is not of this form
    }
  }
  const plain = told.findIndex(([id, , text]) => id !== "text" && id !== "hex" && !/^[[{"]/.test(text));
  if (plain >= 0) told.push(told.splice(plain, 1)[0]);
  return told;
}

// One line of what bytes hold, for a table of rows.
export function glance(data, length = 80) {
  if (!data.length) return "(empty)";
  const [[id, , text]] = forms(data.subarray(0, 4096));
  const line = id === "hex" ? [...data.subarray(0, 24)].map((b) => b.toString(16).padStart(2, "0")).join(" ") : text.replace(/\s+/g, " ");
  return line.length > length ? `${line.slice(0, length)}…` : line;
}

// Show bytes in a dialog; `whole` answers a Blob to keep as a file.
export function showValue(title, data, { full = data.length, whole, buttons = nothing } = {}) {
  const seen = forms(data.subarray(0, SHOWN));
  let now = seen[0][0];
  const keep = async () => save(title.split("/").pop() || "value", whole ? await whole() : new Blob([data]));
  return show(title, (close, draw) => html`
    ${tabs("Shown as", seen.map(([id, label]) => [id, label]), now, (id) => ((now = id), draw()))}
    <pre tabindex="0" aria-label="Value" class=${now === "hex" ? "hex" : ""}>${seen.find(([id]) => id === now)[2] || "(empty)"}</pre>
    <div class="acts"><span class="quiet grow">${size(full)}${full > SHOWN ? `, the first ${size(SHOWN)} shown` : ""}</span>
      ${typeof buttons === "function" ? buttons(close, seen[0][0]) : buttons}
      <button @click=${keep}>Download</button></div>`);
}
