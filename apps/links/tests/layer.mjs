// The table of cases against nodejs/links.mjs: prints one JSON line of what each case answered.
import { readFileSync } from "node:fs";
import { Refused, checkAlias, checkExpiry, checkUrl, newId } from "../layer/nodejs/links.mjs";

const cases = JSON.parse(readFileSync(new URL("cases.json", import.meta.url), "utf8"));

const tried = (check, given) => {
  try {
    return { answer: check(given) };
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    return { refused: error.message };
  }
};
const each = (check, list) => list.map((given) => [given, tried(check, given)]);
const groups = (check, table) => Object.fromEntries(Object.entries(table).map(([name, list]) => [name, each(check, list)]));

console.log(JSON.stringify({
  urls: { taken: each(checkUrl, cases.taken), ...groups(checkUrl, cases.refused) },
  long: [tried(checkUrl, `https://example.org/${"a".repeat(2028)}`), tried(checkUrl, `https://example.org/${"a".repeat(2029)}`)],
  aliases: groups(checkAlias, cases.aliases),
  expiries: {
    ...groups((given) => checkExpiry(given, 1000), cases.expiries),
    taken: cases.expiries.taken.map(([given]) => tried((s) => checkExpiry(s, 1000), given).answer),
  },
  ids: Array.from({ length: 200 }, newId),
}));
