// POST /shorten {"urlToShorten": …, "alias"?: …, "expiresInSeconds"?: …} answers the link's id as a JSON string.
import { DynamoDBClient, PutItemCommand } from "@aws-sdk/client-dynamodb";
import { Refused, checkAlias, checkExpiry, checkUrl, newId } from "/opt/nodejs/links.mjs";

const dynamodb = new DynamoDBClient({});
const ATTEMPTS = 5; // two random ids meet once in 2 million million

const answer = (statusCode, body) => ({
  statusCode,
  headers: { "content-type": "application/json", "cache-control": "no-store" },
  body: JSON.stringify(body),
});

export async function handler(event) {
  let url, alias, expires;
  try {
    const wish = parse(event);
    url = checkUrl(wish.urlToShorten);
    alias = checkAlias(wish.alias);
    expires = checkExpiry(wish.expiresInSeconds);
  } catch (error) {
    if (error instanceof Refused) return answer(400, { message: error.message });
    throw error;
  }
  for (let attempt = 0; attempt < (alias ? 1 : ATTEMPTS); attempt++) {
    const id = alias ?? newId();
    if (await store(id, url, expires)) {
      console.log(JSON.stringify({ created: id }));
      return answer(200, id);
    }
  }
  if (alias) return answer(409, { message: `the alias ${alias} is taken` });
  return answer(503, { message: "no free name was found; try again" });
}

function parse(event) {
  const body = event.isBase64Encoded ? Buffer.from(event.body ?? "", "base64").toString() : (event.body ?? "");
  let wish;
  try {
    wish = JSON.parse(body);
  } catch {
    throw new Refused("the body is not JSON");
  }
  if (wish === null || typeof wish !== "object" || Array.isArray(wish)) throw new Refused("the body is not a JSON object");
  return wish;
}

// Write the link unless its name is in use (one that has ended may be taken over).
async function store(id, url, expires) {
  const now = Math.floor(Date.now() / 1000);
  const Item = { PK: { S: id }, url: { S: url }, created: { N: String(now) }, clicks: { N: "0" } };
  if (expires) Item.expires = { N: String(expires) };
  try {
    await dynamodb.send(new PutItemCommand({
      TableName: process.env.TABLE,
      Item,
      ConditionExpression: "attribute_not_exists(PK) OR expires <= :now",
      ExpressionAttributeValues: { ":now": { N: String(now) } },
    }));
  } catch (error) {
    if (error.name === "ConditionalCheckFailedException") return false;
    throw error;
  }
  return true;
}
