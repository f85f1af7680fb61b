"""Which tests run at the same time: those on three nodes never two at once, nor two large ones."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from tests.conftest import _order
from tests.ports import FIRST, LAST, STRETCHES, stretch
from tests.side_by_side import LARGE_ROOMS, ROOT, SideBySide

SHARED = ("three_nodes:", "three_shards:", "parting_nodes:", "grown:", "from lab.rig import")


def scope(file: Path) -> str:
    scheduler: Any = None
    return SideBySide._split_scope(scheduler, f"{file.relative_to(ROOT)}::test_it")


def test_two_groups_begin_and_all_other_files_are_for_whoever_is_free() -> None:
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    groups = {file: scope(file) for file in files}
    for file, group in groups.items():
        large = file.parent.name in LARGE_ROOMS
        nodes = large and any(word in file.read_text() for word in SHARED)
        assert (group == "nodes") == nodes, file
        assert group in ("nodes", "large") or not large, file
    items: Any = [SimpleNamespace(path=file, fixturenames=()) for file in files]
    begun = [groups[item.path] for item in sorted(items, key=_order)]
    order = list(dict.fromkeys(begun))
    assert order[:2] == ["nodes", "large"]
    assert begun == [group for name in order for group in begun if group == name]


def test_workers_beside_each_other_take_other_ports() -> None:
    taken = [set(stretch(f"gw{number}")) for number in range(STRETCHES)]
    assert len(set().union(*taken)) == sum(map(len, taken)) > 10_000
    assert min(map(min, taken)) >= FIRST and max(map(max, taken)) < LAST
