"""``GET /{shortId}``: the long URL as a JSON string; a browser is redirected. ``GET
/{shortId}/stats``: its visits."""

import json
import os
import time

import boto3
import links

TABLE = boto3.resource("dynamodb").Table(os.environ["TABLE"])
GONE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport"'
    ' content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">'
    "<title>No such link</title><style>body{font:18px/1.5 system-ui,sans-serif;display:grid;"
    "place-content:center;min-height:90vh;margin:0;padding:1rem;text-align:center}</style>"
    "<main><h1>No such link</h1><p>It was never made, or it has ended.</p>"
    '<p><a href="./">Make one</a></p></main></html>'
)


def answer(status, body, content_type="application/json", **headers):
    return {
        "statusCode": status,
        "headers": {"content-type": content_type, "cache-control": "no-store", **headers},
        "body": body if content_type.startswith("text/html") else json.dumps(body),
    }


def handler(event, context):
    short_id = (event.get("pathParameters") or {}).get("shortId", "")
    if not links.is_name(short_id):
        return unknown(event)
    if event.get("routeKey", "").endswith("/stats"):
        return stats(event, short_id)
    link = click(short_id)
    if link is None:
        return unknown(event)
    if is_browser(event):
        return answer(302, link["url"], location=links.in_ascii(link["url"]))
    return answer(200, link["url"])


def is_browser(event):
    headers = {name.lower(): value for name, value in (event.get("headers") or {}).items()}
    return "text/html" in headers.get("accept", "")


def unknown(event):
    if is_browser(event):
        return answer(404, GONE, "text/html; charset=utf-8")
    return answer(404, {"message": "there is no such link"})


def click(short_id):
    """Count a visit; the link, or None when there is none or it has ended."""
    try:
        done = TABLE.update_item(
            Key={"PK": short_id},
            UpdateExpression="ADD clicks :one",
            ConditionExpression="attribute_exists(PK) AND "
            "(attribute_not_exists(expires) OR expires > :now)",
            ExpressionAttributeValues={":one": 1, ":now": int(time.time())},
            ReturnValues="ALL_NEW",
        )
    except TABLE.meta.client.exceptions.ConditionalCheckFailedException:
        return None
    return done["Attributes"]


def stats(event, short_id):
    link = TABLE.get_item(Key={"PK": short_id}, ConsistentRead=True).get("Item")
    if link is None or link.get("expires", time.time() + 1) <= time.time():
        return unknown(event)
    numbers = {name: int(link[name]) for name in ("clicks", "created", "expires") if name in link}
    return answer(200, {"id": short_id, "url": link["url"], **numbers})
