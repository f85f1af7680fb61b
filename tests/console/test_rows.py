"""Raw rows and tablets through the API: read only, ten at a time, secrets not told (C5)."""

from __future__ import annotations

import base64
import json
import time
from urllib.parse import quote

from tests.conftest import Cloud
from tests.console.asking import ask
from tests.services.kv.client import WideTable


def test_rows_of_a_table_in_pages(cloud: Cloud) -> None:
    kv = WideTable(cloud)
    for n in range(25):
        kv("PUT", f"rawrows/row-{n:02}/c", b"v%d" % n)
    assert "kv:rawrows" in ask(cloud, "GET", "/_pileus/rows")[1]["tables"]
    seen, after = [], ""
    for count in (10, 10, 5):
        _, told = ask(cloud, "GET", f"/_pileus/rows/kv%3Arawrows?limit=10&after={after}")
        assert len(told["rows"]) == count
        seen += told["rows"]
        after = told.get("next", "")
    assert after == "" and len({row["key"] for row in seen}) == 25
    first = seen[0]
    assert first["table"] == "kv:rawrows" and first["partition"] == cloud.told["account"]
    assert first["sort"].startswith("hex:") and first["size"] > 2 and first["version"] > 0
    assert b"v0" in base64.b64decode(first["value"])
    prefix = quote("row-1")
    path = f"/_pileus/rows/kv:rawrows?partition={first['partition']}&prefix={prefix}"
    assert len(ask(cloud, "GET", path)[1]["rows"]) == 10
    assert ask(cloud, "GET", "/_pileus/rows/kv:rawrows?partition=other")[1]["rows"] == []


def test_secrets_are_not_told(cloud: Cloud) -> None:
    _, told = ask(cloud, "GET", "/_pileus/rows/iam?partition=keys")
    assert told["rows"] and all(r["hidden"] and r["value"] is None for r in told["rows"])
    secret = cloud.env["AWS_SECRET_ACCESS_KEY"].encode()
    for table in ask(cloud, "GET", "/_pileus/rows")[1]["tables"]:
        _, told = ask(cloud, "GET", f"/_pileus/rows/{quote(table, safe='')}?limit=100")
        values = [base64.b64decode(r["value"]) for r in told["rows"] if not r["hidden"]]
        assert not [v for v in values if secret in v], table


def test_the_key_of_signatures_is_not_told(cloud: Cloud) -> None:
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="raw-rows")["TopicArn"]
    nobody = f"arn:aws:lambda:us-east-1:{cloud.told['account']}:function:nobody"
    sns.subscribe(TopicArn=topic, Protocol="lambda", Endpoint=nobody)
    sns.publish(TopicArn=topic, Message="m")  # the cloud's first delivery has the key made
    deadline, rows = time.monotonic() + 60, []
    while not rows and time.monotonic() < deadline:
        time.sleep(0.1)
        rows = ask(cloud, "GET", "/_pileus/rows/snssigning")[1]["rows"]
    assert [(row["hidden"], row["value"]) for row in rows] == [(True, None)]
    sns.delete_topic(TopicArn=topic)


def test_tablets_and_their_sizes(cloud: Cloud) -> None:
    WideTable(cloud)("PUT", "rawsizes/r/c", b"x" * 1000)
    _, told = ask(cloud, "GET", "/_pileus/tablets")
    assert told["tablets"][0]["bytes"] is None and told["tables"] == []
    _, told = ask(cloud, "GET", "/_pileus/tablets?sizes=1")
    mine = next(t for t in told["tables"] if t["name"] == "kv:rawsizes")
    assert mine["rows"] == 1 and 1000 < mine["bytes"] < 1300
    of_all = sum(t["bytes"] for t in told["tablets"])
    assert of_all >= sum(t["bytes"] for t in told["tables"]) > 0


def test_a_wrong_question_is_answered_in_words(cloud: Cloud) -> None:
    for path in ("x?limit=0", "x?limit=101", "x?limit=ten", "x?after=zz", "x?partition=hex%3Az"):
        status, told = ask(cloud, "GET", f"/_pileus/rows/{path}")
        assert status == 400 and told["__type"] == "ValidationException", path
    assert ask(cloud, "POST", "/_pileus/rows/x")[0] == 405
    assert ask(cloud, "GET", "/_pileus/rowsandmore")[0] == 405


def test_reading_needs_its_own_permission(cloud: Cloud) -> None:
    iam = cloud.client("iam")
    iam.create_user(UserName="rows-some")
    statement = {
        "Effect": "Allow",
        "Action": "pileus:ReadRawRows",
        "Resource": "arn:pileus:cluster::*:rows/kv:*",
    }
    policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    iam.put_user_policy(UserName="rows-some", PolicyName="p", PolicyDocument=policy)
    made = iam.create_access_key(UserName="rows-some")["AccessKey"]
    keys = (made["AccessKeyId"], made["SecretAccessKey"])
    assert ask(cloud, "GET", "/_pileus/rows/kv:rawrows", keys)[0] == 200
    for path in ("rows/iam", "rows", "tablets"):
        status, told = ask(cloud, "GET", f"/_pileus/{path}", keys)
        assert status == 403 and told["__type"] == "AccessDeniedException", path
