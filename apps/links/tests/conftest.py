"""A cloud with the application on it, deployed as a user does: by ``pileus deploy``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.aws_cli import http
from tests.conftest import Cloud, cloud, pileus
from tests.programs import absent

__all__ = ["cloud"]  # a fixture here, too
APP = Path(__file__).parents[1]


@dataclass(frozen=True)
class Links:
    """The deployed application: ``api`` its ApiEndpoint, ``page`` its page at the edge."""

    cloud: Cloud
    stack: str
    outputs: dict[str, str]

    @property
    def api(self) -> str:
        return self.outputs["Api"]

    @property
    def page(self) -> str:
        return self.outputs["Site"]

    def shorten(self, url: Any, base: str = "", **more: Any) -> tuple[int, Any]:
        """POST /shorten: status and the JSON answered."""
        body = json.dumps({"urlToShorten": url, **more}).encode()
        headers = {"content-type": "application/json"}
        status, _, answer = http(f"{base or self.api}/shorten", "POST", body, headers)
        return status, json.loads(answer)

    def get(self, path: str, accept: str = "*/*") -> tuple[int, dict[str, str], bytes]:
        return http(f"{self.api}/{path}", headers={"accept": accept})

    def stats(self, short_id: str) -> Any:
        status, _, answer = self.get(f"{short_id}/stats")
        return json.loads(answer) if status == 200 else status


def deploy(cloud: Cloud, stack: str, language: str) -> Links:
    if not (APP / "web/dist/index.html").exists():
        absent("The built page", "make setup")
    done = pileus(
        "deploy", str(APP), "--home", str(cloud.home), "--stack", stack,
        "-p", f"Language={language}", "--json", timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}{done.stderr}\n{cloud.log()[-4000:]}"
    return Links(cloud, stack, json.loads(done.stdout))


@pytest.fixture(scope="session")
def python_links(cloud: Cloud) -> Iterator[Links]:
    yield deploy(cloud, "links", "python")
