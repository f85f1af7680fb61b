// GET /{shortId}: the long URL as a JSON string; a browser is redirected. GET /{shortId}/stats: its clicks.
import { DynamoDBClient, GetItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";
import { isName } from "/opt/nodejs/links.mjs";

const dynamodb = new DynamoDBClient({});
const TableName = process.env.TABLE;

const GONE =
  '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport"' +
  ' content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">' +
  "<title>No such link</title><style>body{font:18px/1.5 system-ui,sans-serif;display:grid;" +
  "place-content:center;min-height:90vh;margin:0;padding:1rem;text-align:center}</style>" +
  "<main><h1>No such link</h1><p>It was never made, or it has ended.</p>" +
  '<p><a href="./">Make one</a></p></main></html>';

const answer = (statusCode, body, headers = {}) => ({
  statusCode,
  headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  body: JSON.stringify(body),
});

export async function handler(event) {
  const id = event.pathParameters?.shortId ?? "";
  if (!isName(id)) return unknown(event);
  if ((event.routeKey ?? "").endsWith("/stats")) return stats(event, id);
  const link = await click(id);
  if (!link) return unknown(event);
  const url = link.url.S;
  // A header's value is ASCII: a host or path in another script is written the way browsers send it.
  return isBrowser(event) ? answer(302, url, { location: new URL(url).href }) : answer(200, url);
}

function isBrowser(event) {
  const accept = Object.entries(event.headers ?? {}).find(([name]) => name.toLowerCase() === "accept")?.[1] ?? "";
  return accept.includes("text/html");
}

function unknown(event) {
  if (!isBrowser(event)) return answer(404, { message: "there is no such link" });
  return { ...answer(404, null, { "content-type": "text/html; charset=utf-8" }), body: GONE };
}

// Count a visit; the link, or null when there is none or it has ended.
async function click(id) {
  try {
    const done = await dynamodb.send(new UpdateItemCommand({
      TableName,
      Key: { PK: { S: id } },
      UpdateExpression: "ADD clicks :one",
      ConditionExpression: "attribute_exists(PK) AND (attribute_not_exists(expires) OR expires > :now)",
      ExpressionAttributeValues: { ":one": { N: "1" }, ":now": { N: String(Math.floor(Date.now() / 1000)) } },
      ReturnValues: "ALL_NEW",
    }));
    return done.Attributes;
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return null;
    throw error;
  }
}

async function stats(event, id) {
  const { Item: link } = await dynamodb.send(new GetItemCommand({ TableName, Key: { PK: { S: id } }, ConsistentRead: true }));
  if (!link || (link.expires && Number(link.expires.N) <= Date.now() / 1000)) return unknown(event);
  const numbers = Object.fromEntries(["clicks", "created", "expires"].filter((k) => link[k]).map((k) => [k, Number(link[k].N)]));
  return answer(200, { id, url: link.url.S, ...numbers });
}
