"""Docs: what outside suites say, from docs/suites.json (``make suites`` writes it)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RECORD = Path(__file__).with_name("suites.json")
HEAD = """## Outside suites

Suites that others wrote, run from outside the tree by `make suites SUITES=DIR` against a real cloud with signatures and permissions on.
The counts are of the day and the suite's commit told; `tests/suites/` says how the cloud is configured for them. On three nodes each connection goes to the next node.
"""  # noqa: E501


ROW = "| suite | commit | date | tests | passed | passed on three nodes |"


def _share(found: dict[str, Any] | None) -> str:
    return f"{found['passed']} ({found['passed'] / found['of']:.1%})" if found else ""


def section() -> str:
    """The part of the compatibility page, "" where no suite was run yet."""
    if not RECORD.exists():
        return ""
    told = json.loads(RECORD.read_text())
    lines = [HEAD, ROW, "|---|---|---|---|---|---|"]
    for name, found in told.items():
        lines.append(
            f"| {name} | {found['commit'][:8]} | {found['date']} | {found['of']}"
            f" | {_share(found)} | {_share(found.get('three_nodes'))} |"
        )
    return "\n".join([*lines, "", *(_suite(name, found) for name, found in told.items())]) + "\n"


def _suite(name: str, found: dict[str, Any]) -> str:
    groups = ", ".join(f"{g} {t['passed']} of {t['of']}" for g, t in found["groups"].items())
    reasons: dict[str, list[str]] = {}
    for test, reason in found["not_passed"].items():
        reasons.setdefault(reason, []).append(test)
    lines = [f"### {name}", "", f"By group (a test may be in several): {groups}.", ""]
    if "note" in found:
        lines += [found["note"], ""]
    if found.get("three_nodes", {}).get("note"):
        lines += [f"On three nodes: {found['three_nodes']['note']}", ""]
    if reasons:
        lines += ["| not passed | why |", "|---|---|"]
    for reason, tests in sorted(reasons.items(), key=lambda x: (-len(x[1]), x[0])):
        shown = ", ".join(f"`{t}`" for t in tests[:6])
        more = f" and {len(tests) - 6} more" if len(tests) > 6 else ""
        lines.append(f"| {shown}{more} | {reason.replace('|', '/')} |")
    return "\n".join([*lines, ""])
