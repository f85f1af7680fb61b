"""One runtime process for all tests of this room."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.harness import Functions, start, stop


@pytest.fixture(scope="session")
def rt() -> Iterator[Functions]:
    with tempfile.TemporaryDirectory(prefix="pileus-runtime-") as folder:
        home = Path(folder) / "home"
        home.mkdir()
        process = start(home)
        rt = Functions(home, process, Path(folder))
        if rt.stats()["isolation"]["kind"] != "jail":
            stop(process)
            pytest.skip(f"no jail here: {rt.stats()['isolation']['reason']}")
        yield rt
        assert stop(process) == 0
