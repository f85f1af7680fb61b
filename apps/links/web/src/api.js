// What the page asks of the API. The stack's outputs (config.json beside the page) say where it is.
let config;

export async function apiBase() {
  config ??= fetch("config.json").then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error("config.json is missing"))));
  return (await config).Api.replace(/\/$/, "");
}

export async function shorten(wish) {
  const base = await apiBase();
  let answer;
  try {
    answer = await fetch(`${base}/shorten`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(wish),
    });
  } catch {
    throw new Error("The service cannot be reached. Try again in a moment.");
  }
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.message ?? `The service answered ${answer.status}.`);
  return { id: told, short: `${base}/${told}` };
}

export async function stats(id) {
  const answer = await fetch(`${await apiBase()}/${encodeURIComponent(id)}/stats`);
  return answer.ok ? answer.json() : null;
}
