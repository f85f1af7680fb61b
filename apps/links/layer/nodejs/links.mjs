// What a short link is: where it may point, what its name may look like, how long it lives.
// The same as python/links.py, from the same rules.json; one table of cases tests both.
import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { BlockList, isIPv4, isIPv6 } from "node:net";

const rules = JSON.parse(readFileSync(new URL("../rules.json", import.meta.url), "utf8"));
const family = (address) => (address.includes(":") ? "ipv6" : "ipv4");
const internalNetworks = networks(rules.internalNetworks);
const public6 = networks([rules.publicNetwork6]);
const ALIAS = new RegExp(rules.alias);

// What the caller sent cannot become a link; the message tells them why.
export class Refused extends Error {}

function networks(list) {
  const made = new BlockList();
  for (const network of list) {
    const [address, bits] = network.split("/");
    made.addSubnet(address, Number(bits), family(address));
  }
  return made;
}

// The URL, if a stranger may be sent there; throws Refused otherwise.
export function checkUrl(given) {
  if (typeof given !== "string" || !given.trim()) throw new Refused("urlToShorten is missing");
  const text = given.trim();
  if ([...text].length > rules.urlLengthMax) {
    throw new Refused(`the URL is longer than ${rules.urlLengthMax} characters`);
  }
  if (/[\x00-\x20\x7f\\]/.test(text)) {
    throw new Refused("the URL contains spaces, backslashes or control characters");
  }
  if (!/^https?:/i.test(text)) throw new Refused("only http and https URLs can be shortened");
  if (!/^https?:\/\/[^/?#]/i.test(text)) throw new Refused("the URL names no host");
  const authority = /^https?:\/\/([^/?#]*)/i.exec(text)[1];
  if (authority.includes("@")) throw new Refused("the URL must not contain a user name or password");
  if (internal(authority)) throw new Refused("internal addresses cannot be shortened");
  if (!URL.canParse(text)) throw new Refused("this is not a URL");
  return text;
}

// Would a browser look for this host inside somebody's network? Throws Refused for no host.
function internal(authority) {
  if (authority.startsWith("[")) {
    const address = /^\[([^\]]*)\](:[0-9]*)?$/.exec(authority)?.[1] ?? "";
    if (!isIPv6(address) || address.includes("%")) throw new Refused("this is not a URL");
    return !public6.check(address, "ipv6") || internalNetworks.check(address, "ipv6");
  }
  const host = asciiName(authority.replace(/:[0-9]*$/, "")).replace(/\.$/, "");
  const labels = host.split(".");
  if (labels.includes("") || !/^[a-z0-9._-]+$/.test(host)) throw new Refused("this is not a URL");
  if (rules.internalNames.some((name) => host === name || host.endsWith(`.${name}`))) return true;
  if (isIPv4(host)) return internalNetworks.check(host, "ipv4");
  // 2130706433, 0x7f.1 and 127.1 are addresses too; a name without a dot is a neighbour's.
  return labels.length === 1 || /^([0-9]+|0x[0-9a-f]*)$/.test(labels.at(-1));
}

// The host as browsers look it up: LocalHost and ⓛocalhost are localhost.
function asciiName(host) {
  if (/^[\x00-\x7f]*$/.test(host)) return host.toLowerCase();
  const url = /[\p{C}\p{Z}]/u.test(host) ? "" : `http://${host}/`;
  if (!URL.canParse(url)) throw new Refused("this is not a URL");
  return new URL(url).hostname;
}

// The name the caller wants for the link, or null; throws Refused when it cannot be one.
export function checkAlias(text) {
  if (text === undefined || text === null || text === "") return null;
  if (!isName(text) || rules.reserved.includes(text.toLowerCase())) {
    throw new Refused(
      "an alias has 3 to 32 letters, digits, - or _, begins with a letter or digit," +
        " and is not a word the service needs",
    );
  }
  return text;
}

// Can this be the name of a link?
export function isName(text) {
  return typeof text === "string" && ALIAS.test(text);
}

// Epoch seconds at which the link ends, or null for never.
export function checkExpiry(seconds, now = Date.now() / 1000) {
  if (seconds === undefined || seconds === null || seconds === "") return null;
  if (typeof seconds !== "number") throw new Refused("expiresInSeconds is a number");
  if (!(seconds >= 1 && seconds <= rules.expirySecondsMax)) {
    throw new Refused(`expiresInSeconds is between 1 and ${rules.expirySecondsMax}`);
  }
  return Math.ceil(now + seconds);
}

// A fresh random name: 7 of 56 characters that do not look alike.
export function newId() {
  return Array.from({ length: rules.idLength }, () => rules.alphabet[randomInt(rules.alphabet.length)]).join("");
}
