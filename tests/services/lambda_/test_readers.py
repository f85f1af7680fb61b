"""A reader of a stream that is slow to hear of what changed."""

from __future__ import annotations

import orjson

from pileus.services.lambda_ import mappings
from pileus.services.lambda_.sources import Reader, _plain
from tests.services.lambda_.conftest import ACCOUNT, Cloud

PARTITION = f"{ACCOUNT}/us-east-1"


def test_what_came_after_a_mapping_was_switched_off_is_not_handed_on(run) -> None:
    async def body(cloud: Cloud) -> None:
        record = {
            "uuid": "u",
            "enabled": True,
            "source": "arn:aws:dynamodb:us-east-1:1:table/t/stream/s",
            "function": [ACCOUNT, "us-east-1", "f", "$LATEST"],
            "settings": mappings.DEFAULTS,
        }
        handed: list[object] = []

        async def write(told: dict[str, object]) -> None:
            row = [mappings.mapping_key(PARTITION, "u"), orjson.dumps(told)]
            await cloud.store.submit("write", [row], b"")

        reader = Reader(cloud, None, None, None, "me", PARTITION, record)  # type: ignore[arg-type]

        async def gathered() -> tuple[list[object], str]:
            return [{"n": len(handed)}], f"{len(handed) + 1}"

        async def deliver(records: list[object]) -> None:
            handed.append(records)

        reader._gather = gathered  # type: ignore[method-assign,assignment]
        reader._delivery.deliver = deliver  # type: ignore[method-assign,assignment]
        await write({**record, "enabled": False})
        assert await reader._step() and handed == []
        await write(record)
        assert await reader._step() and handed == [[{"n": 0}]]

    run(body)


def test_an_event_tells_who_removed_an_expired_item_in_small_letters() -> None:
    record = {
        "eventName": "REMOVE",
        "userIdentity": {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"},
        "dynamodb": {"ApproximateCreationDateTime": 1, "Keys": {"p": {"S": "a"}}},
    }
    event = _plain(record, "arn")
    assert event["userIdentity"] == {"type": "Service", "principalId": "dynamodb.amazonaws.com"}
    assert "userIdentity" not in _plain({"dynamodb": record["dynamodb"]}, "arn")
