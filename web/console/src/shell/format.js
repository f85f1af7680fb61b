// Numbers and moments in words.
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];

export function bytes(n) {
  if (n === undefined || n === null || Number.isNaN(Number(n))) return "";
  let value = Number(n);
  let at = 0;
  while (value >= 1024 && at < UNITS.length - 1) [value, at] = [value / 1024, at + 1];
  return `${at && value < 100 ? value.toFixed(1) : Math.round(value)} ${UNITS[at]}`;
}

export const number = (n) => (n === undefined || n === null ? "" : Number(n).toLocaleString("en"));

// "3 min ago" of milliseconds since 1970.
export function ago(ms, now = Date.now()) {
  if (!ms) return "";
  const s = Math.max(0, Math.round((now - ms) / 1000));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} d ago`;
}

export function moment(ms) {
  if (!ms) return "";
  const d = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())} ${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}

export const clock = (ms) => `${moment(ms).slice(11)}.${String(ms % 1000).padStart(3, "0")}`;

// Indented JSON of a text that is JSON, else the text.
export function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

// A file to keep: `data` a Blob or text.
export function save(name, data, type = "application/octet-stream") {
  const address = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

export const base64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));

export function unbase64(text) {
  return Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}
