// GET /{shortId}: the long URL as a JSON string; a browser is redirected. GET /{shortId}/stats: its clicks.
import { DynamoDBClient, GetItemCommand, UpdateItemCommand } from "@aws-sdk/client-dynamodb";

const dynamodb = new DynamoDBClient({});
const TableName = process.env.TABLE;

const answer = (statusCode, body, headers = {}) => ({
  statusCode,
  headers: { "content-type": "application/json", "cache-control": "no-store", ...headers },
  body: JSON.stringify(body),
});

export async function handler(event) {
  const id = event.pathParameters?.shortId ?? "";
  if ((event.routeKey ?? "").endsWith("/stats")) return stats(id);
  const link = await click(id);
  if (!link) return answer(404, { message: `there is no link ${id}` });
  const url = link.url.S;
  const accept = Object.entries(event.headers ?? {}).find(([name]) => name.toLowerCase() === "accept")?.[1] ?? "";
  return accept.includes("text/html") ? answer(302, url, { location: url }) : answer(200, url);
}

// Count a visit; the link, or null when there is none or it has expired.
async function click(id) {
  try {
    const done = await dynamodb.send(new UpdateItemCommand({
      TableName,
      Key: { PK: { S: id } },
      UpdateExpression: "ADD clicks :one",
      ConditionExpression: "attribute_exists(PK) AND (attribute_not_exists(expires) OR expires >= :now)",
      ExpressionAttributeValues: { ":one": { N: "1" }, ":now": { N: String(Math.floor(Date.now() / 1000)) } },
      ReturnValues: "ALL_NEW",
    }));
    return done.Attributes;
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return null;
    throw error;
  }
}

async function stats(id) {
  const { Item: link } = await dynamodb.send(new GetItemCommand({ TableName, Key: { PK: { S: id } }, ConsistentRead: true }));
  if (!link) return answer(404, { message: `there is no link ${id}` });
  const numbers = Object.fromEntries(["clicks", "created", "expires"].filter((k) => link[k]).map((k) => [k, Number(link[k].N)]));
  return answer(200, { id, url: link.url.S, ...numbers });
}
