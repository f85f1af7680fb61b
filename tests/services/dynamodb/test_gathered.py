"""Of two front processes the one that writes comes to serve the clients that mostly write."""

from __future__ import annotations

import contextlib
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from botocore.config import Config

from lab.tables import keyed
from tests.conftest import Cloud, new_cloud

CLIENTS_MAX = 60
PUTS = 80
TABLE = {
    **keyed(p="S"),
}


def test_a_writing_client_is_served_on_without_a_break(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each client has one connection and no second try: a broken one would be an error."""
    monkeypatch.setenv("PILEUS_FRONT_PROCESSES", "2")
    cloud = new_cloud(tmp_path / "home")
    try:
        cloud.up()
        once = Config(retries={"total_max_attempts": 1}, max_pool_connections=1)
        cloud.client("dynamodb").create_table(TableName="table", **TABLE)
        for number in range(CLIENTS_MAX):  # half of them come to the process that writes at once
            client = cloud.client("dynamodb", config=once)
            for n in range(PUTS):
                key = {"p": {"S": f"{number}-{n}"}}
                client.put_item(TableName="table", Item={**key, "n": {"N": str(n)}})
                if n % 10 == 0:
                    told = client.get_item(TableName="table", Key=key, ConsistentRead=True)
                    assert told["Item"]["n"] == {"N": str(n)}
            if _taken(cloud) and number:
                break
        else:
            raise AssertionError(f"none of {CLIENTS_MAX} clients was taken over")
        count = cloud.client("dynamodb").scan(TableName="table", Select="COUNT")["Count"]
        assert count == (number + 1) * PUTS
    finally:
        cloud.down()


def _taken(cloud: Cloud) -> bool:
    """Whether the process that writes says that it took a connection over."""
    text = ""
    for _ in range(2):  # who asks without the right token has it made
        token = cloud.home / "metrics.token"
        words = f"Bearer {token.read_text().strip() if token.exists() else ''}"
        asked = urllib.request.Request(
            f"{cloud.endpoint}/_pileus/metrics", headers={"authorization": words}
        )
        with contextlib.suppress(urllib.error.HTTPError):
            with urllib.request.urlopen(asked, timeout=60) as answer:
                text = answer.read().decode()
    assert "pileus_connections{" in text
    counts = [li for li in text.splitlines() if li.startswith("pileus_connections_taken_total{")]
    return any(float(line.rpartition(" ")[2]) for line in counts)
