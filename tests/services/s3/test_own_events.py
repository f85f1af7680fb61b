"""What the service does in its own time is told like what callers do (B6)."""

from __future__ import annotations

from typing import Any

import orjson

from tests.services.s3.clocked import Clocked, timed
from tests.services.s3.test_storage_classes import MINUTE_MS, restore

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:told"


async def ask(s3: Clocked, *kinds: str) -> None:
    filtered = {"Key": {"FilterRules": [{"Name": "prefix", "Value": "a"}]}}
    rule = {"Id": "n", "LambdaFunctionArn": FUNCTION, "Events": list(kinds), "Filter": filtered}
    told = {"LambdaFunctionConfigurations": [rule]}
    params = {"NotificationConfiguration": told, "SkipDestinationValidation": True}
    await s3.bucket("PutBucketNotificationConfiguration", **params)


def told(s3: Clocked) -> list[tuple[str, str, str | None]]:
    """(kind, key, version) of every event recorded so far."""
    events = [orjson.loads(payload)["event"] for _, _, payload in s3.store.changes("s3")]
    return [
        (e["eventName"], e["s3"]["object"]["key"], e["s3"]["object"].get("versionId"))
        for e in events
    ]


def last(s3: Clocked) -> dict[str, Any]:
    return dict(orjson.loads(s3.store.changes("s3")[-1][2])["event"])


def test_expiries_are_told_with_what_became_of_the_version() -> None:
    async def work(s3: Clocked) -> None:
        await ask(s3, "s3:LifecycleExpiration:*")
        await s3.put("a")
        await s3.put("b")  # nobody asks
        rule = {"Expiration": {"Days": 1}, "NoncurrentVersionExpiration": {"NoncurrentDays": 1}}
        await s3.rules(rule)
        await s3.days(2)
        assert told(s3) == [("LifecycleExpiration:Delete", "a", None)]
        assert last(s3)["userIdentity"] == {"principalId": "s3.amazonaws.com"}
        await s3.versioning("Enabled")
        version = (await s3.put("a"))["x-amz-version-id"]
        await s3.days(2)
        assert told(s3)[1][0] == "LifecycleExpiration:DeleteMarkerCreated"
        await s3.days(2)
        assert told(s3)[2:] == [("LifecycleExpiration:Delete", "a", version)]

    timed(work)


def test_transitions_are_told_with_their_class() -> None:
    async def work(s3: Clocked) -> None:
        await ask(s3, "s3:LifecycleTransition")
        await s3.put("a", b"x" * 200_000)
        await s3.rules({"Transitions": [{"Days": 1, "StorageClass": "GLACIER"}]})
        await s3.days(2)
        assert told(s3) == [("LifecycleTransition", "a", None)]
        moved = {"transitionEventData": {"destinationStorageClass": "GLACIER"}}
        assert last(s3)["lifecycleEventData"] == moved

    timed(work)


def test_a_restore_is_told_when_it_begins_when_it_is_done_and_when_it_ends() -> None:
    async def work(s3: Clocked) -> None:
        await ask(s3, "s3:ObjectRestore:*")
        await s3.put("a", x_amz_storage_class="GLACIER")
        await s3.bucket("RestoreObject", **restore(1))
        await s3.chore.turn()
        assert [kind for kind, _, _ in told(s3)] == ["ObjectRestore:Post"]
        s3.clock.step(MINUTE_MS)
        await s3.chore.turn()
        assert told(s3)[-1][0] == "ObjectRestore:Completed"
        wanted = {
            "lifecycleRestorationExpiryTime": "2026-01-03T00:00:00.000Z",
            "lifecycleRestoreStorageClass": "GLACIER",
        }
        assert last(s3)["glacierEventData"] == {"restoreEventData": wanted}
        await s3.bucket("RestoreObject", **restore(3))  # longer: the first end is no end
        await s3.days(2.5)
        assert len(told(s3)) == 2
        await s3.days(2)
        assert [kind for kind, _, _ in told(s3)[2:]] == ["ObjectRestore:Delete"]

    timed(work)
