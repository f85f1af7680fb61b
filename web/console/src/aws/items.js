// DynamoDB's typed values and plain JSON, where one says what the other does.

// A typed value as plain JSON; sets and binaries become marked objects.
export function plain(value) {
  const [type, told] = Object.entries(value)[0];
  switch (type) {
    case "S": return told;
    case "N": return exact(told) ? Number(told) : { N: told };
    case "BOOL": return told;
    case "NULL": return null;
    case "L": return told.map(plain);
    case "M": return plainItem(told);
    default: return { [type]: told };
  }
}

export const plainItem = (item) => Object.fromEntries(Object.entries(item).map(([name, value]) => [name, plain(value)]));

// Whether plain JSON tells all of an item.
export const isPlain = (item) => Object.values(item).every(simple);

function simple(value) {
  const [type, told] = Object.entries(value)[0];
  if (type === "L") return told.every(simple);
  if (type === "M") return isPlain(told) && !looksTyped(told);
  if (type === "N") return exact(told);
  return type === "S" || type === "BOOL" || type === "NULL";
}

const looksTyped = (map) => Object.keys(map).length === 1 && /^(S|N|B|SS|NS|BS|M|L|BOOL|NULL)$/.test(Object.keys(map)[0]);

const exact = (text) => Number.isFinite(Number(text)) && /^-?\d{1,15}(\.\d{1,6})?$/.test(text) && String(text).replace(/\D/g, "").length <= 15;

export function typed(value) {
  if (value === null) return { NULL: true };
  if (typeof value === "string") return { S: value };
  if (typeof value === "number") return { N: String(value) };
  if (typeof value === "boolean") return { BOOL: value };
  if (Array.isArray(value)) return { L: value.map(typed) };
  return { M: typedItem(value) };
}

export const typedItem = (item) => Object.fromEntries(Object.entries(item).map(([name, value]) => [name, typed(value)]));

// Whether every attribute of what was typed is in DynamoDB's own form.
export const isTyped = (item) => Object.values(item).every((v) => v && typeof v === "object" && !Array.isArray(v) && looksTyped(v));

// One line of a value, for a table of rows.
export function brief(value, length = 60) {
  if (!value) return "";
  const [type, told] = Object.entries(value)[0];
  const text = type === "S" || type === "N" ? told : type === "B" ? `${told.length} base64 characters` : JSON.stringify(plain(value));
  return text.length > length ? `${text.slice(0, length - 1)}…` : text;
}
