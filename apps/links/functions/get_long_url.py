"""GET /{shortId}: the long URL as a JSON string; a browser is redirected. GET /{shortId}/stats: its
clicks."""

import json
import os
import time

import boto3

TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE"])


def answer(status, body, **headers):
    return {
        "statusCode": status,
        "headers": {
            "content-type": "application/json",
            "cache-control": "no-store",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        "body": json.dumps(body),
    }


def handler(event, context):
    short_id = (event.get("pathParameters") or {}).get("shortId", "")
    if event.get("routeKey", "").endswith("/stats"):
        return stats(short_id)
    link = click(short_id)
    if link is None:
        return answer(404, {"message": f"there is no link {short_id}"})
    url = link["url"]
    accept = {k.lower(): v for k, v in (event.get("headers") or {}).items()}.get("accept", "")
    if "text/html" in accept:
        return answer(302, url, location=url)
    return answer(200, url)


def click(short_id):
    """Count a visit; the link, or None when there is none or it has expired."""
    try:
        done = TABLE.update_item(
            Key={"PK": short_id},
            UpdateExpression="ADD clicks :one",
            ConditionExpression="attribute_exists(PK) AND "
            "(attribute_not_exists(expires) OR expires >= :now)",
            ExpressionAttributeValues={":one": 1, ":now": int(time.time())},
            ReturnValues="ALL_NEW",
        )
    except TABLE.meta.client.exceptions.ConditionalCheckFailedException:
        return None
    return done["Attributes"]


def stats(short_id):
    link = TABLE.get_item(Key={"PK": short_id}, ConsistentRead=True).get("Item")
    if link is None:
        return answer(404, {"message": f"there is no link {short_id}"})
    numbers = {k: int(link[k]) for k in ("clicks", "created", "expires") if k in link}
    return answer(200, {"id": short_id, "url": link["url"], **numbers})
