// The links made in this browser, newest first.
const NAME = "links";
const MAX = 20;

export function recall() {
  try {
    const kept = JSON.parse(localStorage.getItem(NAME) ?? "[]");
    return Array.isArray(kept) ? kept.filter((link) => typeof link?.id === "string" && typeof link.url === "string") : [];
  } catch {
    return []; // storage is switched off, or holds something else: the page works without
  }
}

export function keep(links) {
  const kept = links.slice(0, MAX);
  try {
    localStorage.setItem(NAME, JSON.stringify(kept));
  } catch {
    // storage is full or switched off: the list lasts as long as the page
  }
  return kept;
}
