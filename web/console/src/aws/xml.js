// XML answers as plain objects: an element becomes its children by name, or its text; repeated names become lists.
const parser = new DOMParser();
// The text is only read, never shown as a page: the policy says so to Trusted Types.
const policy = globalThis.trustedTypes?.createPolicy("pileus-xml", { createHTML: (text) => text });

// The root element of a text.
export const root = (text) => parser.parseFromString(policy ? policy.createHTML(text) : text, "text/xml").documentElement;

export const tree = (text) => value(root(text));

// What stands between tags.
export const escaped = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;");

function value(element) {
  if (!element.children.length) return element.textContent;
  const made = {};
  for (const child of element.children) {
    const name = child.localName;
    const told = value(child);
    if (name in made) made[name] = [].concat(made[name], [told]);
    else made[name] = told;
  }
  return made;
}

// What may be absent, one or several, as a list; `name` is what repeats within it ("member").
export function list(node, name) {
  const inner = name && node ? node[name] : node;
  if (inner === undefined || inner === null || inner === "") return [];
  return Array.isArray(inner) ? inner : [inner];
}
