// What the page asks of the API. config.json beside the page holds the stack's outputs.
//
// Behind a distribution page and API share one address, so links are as short as the page's own and
// work from any machine that reaches the page. Elsewhere (a plain bucket site) the API's own is used.
let found;

export function base() {
  found ??= fetch("config.json")
    .then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error())))
    .then((outputs) => new URL("./", outputs.Domain ? document.baseURI : `${outputs.Api}/`).href)
    .catch(() => {
      found = undefined; // the next attempt asks again
      throw new Error("The service cannot be reached. Try again in a moment.");
    });
  return found;
}

export async function shorten(wish) {
  const where = await base();
  let answer;
  try {
    answer = await fetch(`${where}shorten`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(wish),
    });
  } catch {
    throw new Error("The service cannot be reached. Try again in a moment.");
  }
  const told = await answer.json().catch(() => null);
  if (!answer.ok || typeof told !== "string") throw new Error(told?.message ?? `The service answered ${answer.status}.`);
  return { id: told, short: where + told };
}

// Visits and end of a link; null when it has ended, undefined when nobody could be asked.
export async function stats(id) {
  try {
    const answer = await fetch(`${await base()}${encodeURIComponent(id)}/stats`, { headers: { accept: "application/json" } });
    if (answer.status === 404) return null;
    return answer.ok ? await answer.json() : undefined;
  } catch {
    return undefined;
  }
}
