"""An event answered with 202 is run, whatever happens to the cloud in between."""

from __future__ import annotations

import json
import re
import time
from typing import Any

from tests.services.lambda_.test_boto3 import LOGGING, TRUST, eventually, messages, zipped
from tests.soak.kill import kill_all

SLOW = """
import time
def handler(event, context):
    time.sleep(8)
    print("ran", event["n"])
"""
EVENTS = 6


def test_acknowledged_events_run_after_a_kill(own_cloud: Any) -> None:
    role = own_cloud.client("iam").create_role(
        RoleName="r", AssumeRolePolicyDocument=json.dumps(TRUST)
    )
    own_cloud.client("iam").attach_role_policy(RoleName="r", PolicyArn=LOGGING)
    client = own_cloud.client("lambda")
    client.create_function(
        FunctionName="slow", Runtime="python3.11", Role=role["Role"]["Arn"],
        Handler="app.handler", Code={"ZipFile": zipped(SLOW)}, Timeout=20,
    )  # fmt: skip
    sent = 0
    for _ in range(5):  # on a busy machine some may have run before the kill: then more are sent
        began = time.monotonic()
        for n in range(sent, sent + EVENTS):
            payload = json.dumps({"n": n, "pad": "x" * (300_000 if n == sent else 10)})
            answer = client.invoke(FunctionName="slow", InvocationType="Event", Payload=payload)
            assert answer["StatusCode"] == 202
        sent += EVENTS
        kill_all(own_cloud)
        in_time = time.monotonic() - began < 8
        own_cloud.up()
        if in_time:
            break
    assert in_time, "too slow: all may have run before the kill"

    def ran() -> set[str]:
        lines = messages(own_cloud, "/aws/lambda/slow", "ran")
        return {found[1] for line in lines if (found := re.match(r"ran (\d+)", line))}

    eventually(lambda: len(ran()) == sent, 40)
