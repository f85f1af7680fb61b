"""What the pages say is what the program is: options, settings, operations, links."""

from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from lab import drops, recorded
from pileus.cli import main
from pileus.config import Config

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
OPERATIONS = (DOCS / "operations.md").read_text()
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.glob("*.md"), *(ROOT / "decisions").glob("*.md")})


@pytest.mark.parametrize("name", sorted(main.commands))
def test_commands_and_options_are_documented(name: str) -> None:
    row = next((x for x in OPERATIONS.splitlines() if x.startswith(f"| `pileus {name}")), None)
    assert row, f"docs/operations.md has no row for `pileus {name}`"
    for parameter in main.commands[name].params:
        if isinstance(parameter, click.Option):
            option = max(parameter.opts, key=len)
            assert f"`{option}`" in row, f"{option} of `pileus {name}` is not documented"
    told = set(re.findall(r"`(--[a-z-]+)`", row))
    known = {o for p in main.commands[name].params for o in p.opts}
    assert told <= known, "options that do not exist"


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Config)])
def test_settings_are_documented_and_have_an_effect(name: str) -> None:
    rows = [x.split("|")[1] for x in OPERATIONS.splitlines() if x.startswith("| `")]
    assert any(f"`{name}`" in cell for cell in rows), f"setting {name} is not documented"
    sources = [p for p in (ROOT / "src").rglob("*.py") if p.name != "config.py"]
    used = re.compile(rf"\.{name}\b|[\"']{name}[\"']")
    names = {"accounts": "all_accounts", "front_processes": "fronts", "home": "home"}
    pattern = re.compile(rf"\.{names[name]}\b") if name in names else used
    assert any(pattern.search(p.read_text()) for p in sources), f"nothing reads {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        goal = (page.parent / path).resolve() if path else page
        assert goal.exists(), f"{page.name}: {target} leads nowhere"
        if anchor and goal.suffix == ".md":
            heads = re.findall(r"^#+ (.+)$", goal.read_text(), flags=re.M)
            assert anchor in {slug(h) for h in heads}, f"{page.name}: no heading for {target}"


def slug(heading: str) -> str:
    """A heading's anchor, as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def test_every_room_is_in_the_design_page() -> None:
    text = (DOCS / "design.md").read_text()
    for page in (ROOT / "src" / "pileus").rglob("DESIGN.md"):
        assert str(page.relative_to(ROOT)) in text


def test_compatibility_tells_what_is_offered() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "docs.generate_compatibility", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_page_of_faults_is_made_of_the_record() -> None:
    made = recorded.page(recorded.read())
    assert recorded.PAGE.read_text() == made, "stale: run python -m lab.recorded"


def test_the_page_of_front_ends_is_made_of_the_record() -> None:
    assert drops.PAGE.read_text() == drops.page(drops.read()), "stale: run python -m lab.recorded"


def test_files_the_ledger_names_exist() -> None:
    named = re.findall(r"(tests/[\w/]+\.py)", (DOCS / "bugs.md").read_text())
    assert named
    assert [n for n in named if not (ROOT / n).exists()] == []
