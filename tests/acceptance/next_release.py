"""The command of a release to come: its rules have the next version, and one of them means
something else than today's (a wide-table put counts puts). ``python -m
tests.acceptance.next_release``
is to be used like ``pileus``.
"""

from __future__ import annotations

from typing import Any

from pileus import assembly, cli
from pileus.services import dynamodb
from pileus.services.kv import rules as kv_rules
from pileus.state import keys
from pileus.state.entry import RULES_VERSION
from pileus.state.tx import Tx
from pileus.state.versions import RuleBook

VERSION = RULES_VERSION + 1
COUNTED = keys.key("next", "kv", "puts")


def counting_put(tx: Tx, args: dict[str, Any]) -> int:
    """As ever, and the number of puts since this means what it means."""
    answer = kv_rules.put(tx, args)
    tx.put(COUNTED, str(int(tx.get(COUNTED) or b"0") + 1).encode())
    return answer


def main() -> None:
    today = assembly.RULES.at(RULES_VERSION)
    changed = {"kv.put": counting_put}
    older = {RULES_VERSION: {name: today[name] for name in changed}}
    assembly.RULES = RuleBook({**today, **changed}, {**dynamodb.OLDER, **older}, VERSION)
    cli.main()


if __name__ == "__main__":
    main()
