"""Long-running services through their own API and their routes (C7)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.services.longrunning.client import Services


@pytest.fixture
def api(cloud: Any) -> Services:
    return Services(cloud)


@pytest.fixture
def name(api: Services) -> Iterator[str]:
    made = f"s{uuid.uuid4().hex[:10]}"
    yield made
    if not api.gone(made):
        api("DELETE", f"/{made}")


def test_a_service_runs_and_answers_at_its_route(api: Services, name: str) -> None:
    made = api.create(name, Route=f"/{name}/*", Environment={"VERSION": "7"})
    assert made["Status"] in ("STARTING", "RUNNING")
    told = api.running(name)
    assert told["HealthyCopies"] == 1 and told["CopyStates"][0]["State"] == "HEALTHY"
    status, answer = api.ask(f"/_service/{name}/a/b?c=d")
    assert (status, answer["path"], answer["version"]) == (200, "/a/b?c=d", "7")
    status, answer = api.ask("/x", host=f"{name}.service.localhost:{api.cloud.port}")
    assert (status, answer["path"]) == (200, "/x")
    status, answer = api.ask(f"/{name}/y", port=api.cloud.edge_port)
    assert (status, answer["path"]) == (200, f"/{name}/y")
    api("DELETE", f"/{name}")
    assert api.gone(name)
    assert api.ask(f"/_service/{name}/")[0] == 404
