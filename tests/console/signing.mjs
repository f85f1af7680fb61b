// Sign the requests given as JSON on standard input with the console's own module.
import { readFileSync } from "node:fs";
import { presign, sha256, sign } from "../../web/console/src/aws/sign.js";

const told = [];
for (const asked of JSON.parse(readFileSync(0, "utf8"))) {
  if (asked.seconds) {
    told.push(await presign({ ...asked, date: new Date(asked.date) }));
    continue;
  }
  const hash = asked.hash ?? (await sha256(asked.body));
  told.push((await sign({ ...asked, hash, date: new Date(asked.date) })).authorization);
}
console.log(JSON.stringify(told));
