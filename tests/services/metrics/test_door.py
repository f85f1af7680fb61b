"""The metrics a user meets: Prometheus's text, and series by the second."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pileus.telemetry.catalogue import METRICS
from tests.conftest import Cloud

DOCS = Path(__file__).resolve().parents[3] / "docs" / "metrics.md"


def _get(cloud: Cloud, path: str, headers: dict[str, str]) -> tuple[int, str]:
    asked = urllib.request.Request(cloud.endpoint + path, headers=headers)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _bearer(cloud: Cloud) -> dict[str, str]:
    _get(cloud, "/_pileus/metrics", {"authorization": "Bearer makes the token"})
    return {"authorization": "Bearer " + (cloud.home / "metrics.token").read_text().strip()}


def _signed(cloud: Cloud, path: str) -> tuple[int, str]:
    keys = Credentials(cloud.env["AWS_ACCESS_KEY_ID"], cloud.env["AWS_SECRET_ACCESS_KEY"])
    asked = AWSRequest("GET", cloud.endpoint + path)
    SigV4Auth(keys, "pileus", cloud.env["AWS_REGION"]).add_auth(asked)
    return _get(cloud, path, dict(asked.headers.items()))


def _samples(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def _series(cloud: Cloud, **query: Any) -> Any:
    told = urllib.parse.urlencode(query, doseq=True)
    status, text = _signed(cloud, f"/_pileus/series?{told}")
    assert status == 200, text
    return json.loads(text)


def _until(look: Callable[[], Any], good: Callable[[Any], bool]) -> Any:
    """What ``look`` answers once it is good: what is counted is told a little later."""
    deadline = time.monotonic() + 60
    while not good(found := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


UP = 'pileus_process_up{process="front-0"}'


def test_prometheus_counts_every_request_of_all_processes(cloud: Cloud) -> None:
    bearer = _bearer(cloud)
    # Of an operation no other test asks for: nobody's earlier requests are still to be told.
    name = 'pileus_requests_total{operation="DescribeLimits",service="dynamodb",status="2xx"}'
    before = _samples(_get(cloud, "/_pileus/metrics", bearer)[1]).get(name, 0.0)
    for _ in range(7):
        cloud.client("dynamodb").describe_limits()  # a connection each: any front may take it
    samples = _until(
        lambda: _samples(_get(cloud, "/_pileus/metrics", bearer)[1]),
        lambda told: told.get(name, 0.0) - before >= 7 and told.get(UP) == 1,
    )
    assert samples[name] - before == 7
    duration = name.replace("requests_total", "request_duration_seconds_count")
    assert samples[duration.replace(',status="2xx"', "")] >= 7
    assert samples[UP] == 1


def test_every_metric_told_is_in_the_documents(cloud: Cloud) -> None:
    _, text = _get(cloud, "/_pileus/metrics", _bearer(cloud))
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE ")}
    documented = DOCS.read_text()
    assert told <= METRICS.keys() and len(told) > 20
    assert [name for name in METRICS if f"`{name}`" not in documented] == []
    assert len([line for line in text.splitlines() if line.startswith("# TYPE ")]) == len(told)


def test_other_programs_tell_through_the_same_door(cloud: Cloud) -> None:
    bearer = _bearer(cloud)
    status, text = _until(
        lambda: _get(cloud, "/_pileus/metrics?part=caddy", bearer), lambda told: told[0] == 200
    )
    assert status == 200 and "caddy_reverse_proxy_upstreams_healthy" in text
    status, text = _get(cloud, "/_pileus/metrics?part=log", bearer)
    assert status == 400 and "no server of the log" in text
    assert _get(cloud, "/_pileus/metrics?part=disk", bearer)[0] == 400
    assert _get(cloud, "/_pileus/metrics?part=caddy&node=all", bearer)[0] == 400


def test_one_machine_is_all_nodes(cloud: Cloud) -> None:
    bearer = _bearer(cloud)
    samples = _until(
        lambda: _samples(_get(cloud, "/_pileus/metrics?node=all", bearer)[1]),
        lambda told: told.get(UP) == 1,
    )
    assert samples[UP] == 1
    told = _series(cloud, name="cpu_cores", node="all")
    assert told["missing"] == {} and [s["name"] for s in told["series"]] == ["cpu_cores"]
    values = _until(
        lambda: _series(cloud, newest="1", node="all")["nodes"][""]["values"],
        lambda told: told.get("cpu_cores", 0) > 0,
    )
    assert values["cpu_cores"] > 0


@pytest.mark.parametrize("path", ["/_pileus/metrics", "/_pileus/series"])
def test_nobody_reads_without_a_right(cloud: Cloud, path: str) -> None:
    assert _get(cloud, path, {})[0] == 400
    assert _get(cloud, path, {"authorization": "Bearer guess"})[0] == 403
    iam = cloud.client("iam")
    name = "metrics-" + path.rpartition("/")[2]
    iam.create_user(UserName=name)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    other = Cloud(cloud.home, (), dict(cloud.env))
    other.env["AWS_ACCESS_KEY_ID"] = key["AccessKeyId"]
    other.env["AWS_SECRET_ACCESS_KEY"] = key["SecretAccessKey"]
    assert _signed(other, path)[0] == 403
    allow = {"Effect": "Allow", "Action": "pileus:ReadMetrics", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
    iam.put_user_policy(UserName=name, PolicyName="read", PolicyDocument=policy)
    assert _signed(other, path)[0] == 200


BUCKETS_LISTED = "requests_per_second{operation=ListBuckets,service=s3}"


def _loaded(cloud: Cloud) -> tuple[int, float]:
    """Three seconds of requests: how many there were, and how many the series tell."""
    s3, began, asked = cloud.client("s3"), time.time(), 0
    while time.time() < began + 3:
        s3.list_buckets()
        asked += 1
    span = {"from": int(began) - 1, "to": int(time.time()) + 2}
    time.sleep(2.5)
    found = _series(cloud, name=BUCKETS_LISTED + "*", **span)["series"]
    return asked, sum(v or 0.0 for s in found for v in s["values"])


def test_a_second_of_load_is_seen_in_the_series(cloud: Cloud) -> None:
    tries: list[tuple[int, float]] = []
    while not tries or not tries[-1][0] / 2 < tries[-1][1] < 2 * tries[-1][0]:
        # Whole seconds at both ends; and whoever measures may have been held up for a second.
        assert len(tries) < 6, tries
        tries.append(_loaded(cloud))
    name = BUCKETS_LISTED
    told = _series(cloud, name=[name, "latency_p99_seconds", "process_cpu_cores*"], **{"from": -60})
    assert told["step"] == 1 and len(told["times"]) == len(told["series"][0]["values"]) == 60
    assert told["series"][0]["labels"] == {"operation": "ListBuckets", "service": "s3"}
    assert any(told["series"][1]["values"]) and len(told["series"]) > 4
    minutes = _series(cloud, name=name, step=60, **{"from": -120})
    assert minutes["times"][1] - minutes["times"][0] == 60


def test_the_list_of_series_and_wrong_questions(cloud: Cloud) -> None:
    listed = _series(cloud)["series"]
    assert {"metric": "cpu_cores", "name": "cpu_cores", "labels": {}, "unit": "cores"} in listed
    for query in ("name=nosuch", "name=cpu_cores&step=0", "name=%2A&step=x", "nam=x"):
        status, text = _signed(cloud, f"/_pileus/series?{query}")
        assert status == 400 and "ValidationException" in text
