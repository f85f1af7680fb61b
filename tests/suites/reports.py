"""What pytest's reports (JUnit's XML) tell of a suite."""

from __future__ import annotations

import xml.etree.ElementTree as xml
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

ERROR_MAX = 300


def counts(reports: Iterable[Path], group_of: Callable[[str], str]) -> dict[str, Any]:
    """Counts, by group too, and each test that did not pass with what the suite saw. A test is
    named ``file::name``; ``group_of`` is given its module. What failed anywhere has failed."""
    told: dict[str, str] = {}
    errors: dict[str, str] = {}
    modules: dict[str, str] = {}
    for report in reports:
        for case in xml.parse(report).getroot().iter("testcase"):
            module = str(case.get("classname"))
            name = f"{module.rpartition('.')[2]}::{case.get('name')}"
            modules[name] = module
            wrong = [child for child in case if child.tag in ("failure", "error")]
            if wrong:
                errors[name] = str(wrong[0].get("message")).partition("\n")[0][:ERROR_MAX]
                told[name] = "failed"
            elif told.get(name) != "failed":
                told[name] = "passed" if case.find("skipped") is None else "skipped"
    groups: dict[str, list[str]] = {}
    for name, how in told.items():
        groups.setdefault(group_of(modules[name]), []).append(how)
    return {
        **tally(list(told.values())),
        "groups": {group: tally(found) for group, found in sorted(groups.items())},
        "not_passed": dict(sorted(errors.items())),
    }


def tally(told: list[str]) -> dict[str, int]:
    """What was skipped is not of the tests: a suite skips what is its own."""
    found = {how: told.count(how) for how in ("passed", "failed", "skipped")}
    return {"of": len(told) - found["skipped"], **found}
