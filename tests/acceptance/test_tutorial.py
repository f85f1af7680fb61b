"""The workshop's tutorial, run as it is written, in one shell (K2, O4)."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.aws_cli import http
from tests.conftest import SOURCE, Cloud, new_cloud_up
from tests.programs import absent

ROOT = SOURCE.parent
TEXT = (ROOT / "docs/tutorial-workshop.md").read_text()
STEP = re.compile(
    r"(?:^`(?P<file>[\w./]+)`[^\n]*:\n\n)?^```(?P<kind>\w+)\n(?P<body>.*?)^```", re.M | re.S
)


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Cloud]:
    """Names of the tutorial are not unique: a cloud of its own."""
    with new_cloud_up(home=tmp_path / "home") as made:
        yield made


def script(cloud: Cloud, place: Path) -> str:
    """All commands in their order; the files among them written to ``place``."""
    lines = ["set -euo pipefail", f"cd {shlex.quote(str(place))}"]
    for step in STEP.finditer(TEXT[TEXT.index("## 1.") :]):
        if step["file"]:
            file = place / step["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(step["body"])
        elif step["kind"] == "sh":
            lines.append(step["body"])
    text = "\n".join(lines).replace(":4566", f":{cloud.port}")
    text = text.replace(":8000", f":{cloud.edge_port}")
    pileus = f"PILEUS_HOME={cloud.home} PYTHONPATH={SOURCE} {sys.executable} -m pileus.cli"
    return text.replace(".venv/bin/pileus", pileus).replace("apps/links ", f"{ROOT}/apps/links ")


def test_every_command_of_the_tutorial(fresh: Cloud, tmp_path: Path) -> None:
    if not (ROOT / "apps/links/web/dist/index.html").exists():
        absent("The built page", "make setup")
    place = tmp_path / "workshop"
    place.mkdir()
    env = {**os.environ, **fresh.env, "AWS_PAGER": "", "AWS_CONFIG_FILE": os.devnull}
    env["PATH"] = f"{Path(sys.executable).parent}:{env['PATH']}"
    done = subprocess.run(
        ["bash", "-x", "-c", script(fresh, place)],
        env=env,
        capture_output=True,
        text=True,
        timeout=350,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    told = done.stdout
    assert '"https://example.org/a/long/path"' in told
    assert "Internal Server Error" in told  # the permission was missing
    assert re.search(r"AccessDenied.*dynamodb:PutItem", told)
    statuses = re.findall(r"^HTTP/1.1 (\d+)", told, re.M)
    assert statuses == ["403", "200", "403", "200", "200", "200"]
    caches = re.findall(r"^x-cache: (\w+)", told, re.M | re.I)
    assert caches == ["Miss", "Hit"]
    site = re.findall(r"^Site\s+(\S+)", told, re.M)
    assert len(site) == 2 and site[0] == site[1]
    status, _, page = http(site[0])
    assert status == 200 and b"<links-page>" in page
