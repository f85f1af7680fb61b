"""Golden logs: what the rules of this version gave for entries they met, kept to ask later builds.

    python -m pytest -p tests.state.recording tests/services tests/state tests/cluster
                                                                  every replica's log, to var/golden
    python -m tests.state.recording                               keep few that use every rule

A recorded log is ``zlib(msgpack([[entries of a group, running hash after it], …]))``, from the
first entry on; ``golden/rules-N`` holds several. Record anew only after raising ``RULES_VERSION``,
and beside what is chosen keep a log of what the version changed (tests/state/test_golden.py asks
for one); what older versions gave is kept as long as the release applies them.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pileus.assembly import RULES
from pileus.state import entry, marks
from pileus.state.replica import BUILT_IN, SqliteReplica

GOLDEN = Path(__file__).with_name("golden")
RECORDED = Path("var/golden")
ENTRIES_MAX = 3000
PLATFORM = set(RULES.at(entry.RULES_VERSION)) | set(BUILT_IN)
COPIES = 3  # how often each rule should be met, at least

Groups = list[tuple[list[bytes], bytes]]


def kept(version: int) -> Path:
    return GOLDEN / f"rules-{version}"


def golden(version: int) -> list[Groups]:
    """The logs kept for a version of the rules."""
    return msgspec.msgpack.decode(zlib.decompress(kept(version).read_bytes()), type=list[Groups])


def _read(path: Path) -> Groups:
    return msgspec.msgpack.decode(zlib.decompress(path.read_bytes()), type=Groups)


def used(log: Groups) -> Counter[str]:
    """How often each rule is met."""
    return Counter(entry.unpack(data).rule for entries, _ in log for data in entries)


# -- the plugin ---------------------------------------------------------------------------------


def pytest_configure(config: Any) -> None:
    """Watch every replica of this process from its first entry to its end."""
    RECORDED.mkdir(parents=True, exist_ok=True)
    apply_group, close = SqliteReplica.apply_group, SqliteReplica.close

    def watched(self: Any, first: int, entries: Sequence[bytes]) -> list[bytes]:
        verdicts = apply_group(self, first, entries)
        if first == 1:
            self.golden = []
        if hasattr(self, "golden"):
            self.golden.append((list(entries), self.chain))
        return verdicts

    def closing(self: Any) -> None:
        _keep(getattr(self, "golden", []))
        close(self)

    SqliteReplica.apply_group = watched  # type: ignore[method-assign]
    SqliteReplica.close = closing  # type: ignore[method-assign]


def _keep(log: Groups) -> None:
    rules = used(log)
    if rules and rules.total() <= ENTRIES_MAX and not set(rules) - PLATFORM - {marks.RULE}:
        packed = zlib.compress(msgspec.msgpack.encode(log), 9)
        (RECORDED / hashlib.sha256(packed).hexdigest()[:16]).write_bytes(packed)


# -- choosing -----------------------------------------------------------------------------------


def choose() -> list[Path]:
    """Few recorded logs that together meet every rule several times: each time the one that adds
    most for its bytes."""
    found = {path: used(_read(path)) for path in sorted(RECORDED.iterdir())}
    have: Counter[str] = Counter()
    chosen: list[Path] = []

    def adds(path: Path) -> float:
        new = sum(min(COPIES, have[r] + n) - min(COPIES, have[r]) for r, n in found[path].items())
        return new / path.stat().st_size

    while found:
        best = max(found, key=adds)
        if not adds(best):
            break
        have += found.pop(best)
        chosen.append(best)
    return chosen


def main() -> int:
    """Replace the golden logs by what was recorded; say what they do not meet."""
    logs = [_read(path) for path in choose()]
    kept(entry.RULES_VERSION).write_bytes(zlib.compress(msgspec.msgpack.encode(logs), 9))
    met = sum((used(log) for log in logs), Counter[str]())
    print(f"{met.total()} entries; not met: {sorted(PLATFORM - set(met)) or 'none'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
