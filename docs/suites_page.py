"""Docs: what outside suites say, from docs/suites.json (``make suites`` writes it)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("suites.json")
HEAD = """## Outside suites

Suites that others wrote, run from outside the tree by `make suites SUITES=DIR` against a real cloud with signatures and permissions on.
The counts are of the day and the suite's commit told; `tests/suites/` says how the cloud is configured for them. On three nodes (`make suites SUITES=DIR NODES=3`) each connection goes to the next node, and the cluster has the shards it begins with.
"""  # noqa: E501


ROW = "| suite | commit | date | tests | passed | passed on three nodes |"


def _share(found: dict[str, Any] | None, of: int) -> str:
    """What passed; ``of``: how many tests there are."""
    if not found:
        return ""
    out_of = "" if found["of"] == of else f" of {found['of']}"
    return f"{found['passed']}{out_of} ({found['passed'] / found['of']:.1%})"


def section() -> str:
    """The part of the compatibility page, "" where no suite was run yet."""
    if not RECORD.exists():
        return ""
    told = json.loads(RECORD.read_text())
    lines = [HEAD, ROW, "|---|---|---|---|---|---|"]
    for name, found in told.items():
        lines.append(
            f"| {name} | {found['commit'][:8]} | {found['date']} | {found['of']}"
            f" | {_share(found, found['of'])} | {_share(found.get('three_nodes'), found['of'])} |"
        )
    return "\n".join([*lines, "", *(_suite(name, found) for name, found in told.items())]) + "\n"


def _suite(name: str, found: dict[str, Any]) -> str:
    groups = ", ".join(f"{g} {t['passed']} of {t['of']}" for g, t in found["groups"].items())
    lines = [f"### {name}", "", f"By group (a test may be in several): {groups}.", ""]
    if "note" in found:
        lines += [found["note"], ""]
    return "\n".join([*lines, *_table("not passed", found["not_passed"]), *_on_three(found)])


def _on_three(found: dict[str, Any]) -> list[str]:
    """What three nodes do other than one machine."""
    told = found.get("three_nodes")
    if not told:
        return []
    same = "" if told["not_passed"] else ": what passes on one machine passes there"
    note = f" {told['note'][0].upper()}{told['note'][1:]}." if "note" in told else ""
    said = f"On three nodes, {told['shards']} shards ({told['date']}){same}.{note}"
    return [said, "", *_table("passed on one machine only", told["not_passed"])]


def _table(head: str, why: dict[str, str]) -> list[str]:
    """Tests by the reason, the most frequent first."""
    reasons: dict[str, list[str]] = {}
    for test, reason in why.items():
        reasons.setdefault(reason, []).append(test)
    lines = [f"| {head} | why |", "|---|---|"] if reasons else []
    for reason, tests in sorted(reasons.items(), key=lambda x: (-len(x[1]), x[0])):
        shown = ", ".join(f"`{t}`" for t in tests[:6])
        more = f" and {len(tests) - 6} more" if len(tests) > 6 else ""
        lines.append(f"| {shown}{more} | {reason.replace('|', '/')} |")
    return [*lines, ""] if lines else []
