"""``POST /shorten {"urlToShorten": …, "alias"?: …, "expiresInSeconds"?: …}``: the link's id as a
JSON string."""

import base64
import json
import os
import time

import boto3
import links

TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE"])
ATTEMPTS = 5  # two random ids meet once in 2 million million


def answer(status, body):
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}


def handler(event, context):
    try:
        wish = parse(event)
        url = links.check_url(wish.get("urlToShorten"))
        alias = links.check_alias(wish.get("alias"))
        expires = links.check_expiry(wish.get("expiresInSeconds"))
    except links.Refused as refused:
        return answer(400, {"message": str(refused)})
    for _ in range(1 if alias else ATTEMPTS):
        short_id = alias or links.new_id()
        if store(short_id, url, expires):
            print(json.dumps({"created": short_id}))
            return answer(200, short_id)
    if alias:
        return answer(409, {"message": f"the alias {alias} is taken"})
    return answer(503, {"message": "no free name was found; try again"})


def parse(event):
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        body = base64.b64decode(body).decode("utf-8", "replace")
    try:
        wish = json.loads(body)
    except ValueError:
        raise links.Refused("the body is not JSON") from None
    if not isinstance(wish, dict):
        raise links.Refused("the body is not a JSON object")
    return wish


def store(short_id, url, expires):
    """Write the link unless its name is in use (one that has ended may be taken over)."""
    now = int(time.time())
    item = {"PK": short_id, "url": url, "created": now, "clicks": 0}
    if expires:
        item["expires"] = expires
    try:
        TABLE.put_item(
            Item=item,
            ConditionExpression="attribute_not_exists(PK) OR expires <= :now",
            ExpressionAttributeValues={":now": now},
        )
    except TABLE.meta.client.exceptions.ConditionalCheckFailedException:
        return False
    return True
