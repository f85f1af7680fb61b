"""What the rules of this version once gave for entries, they still give.

When this fails, a rule came to mean something else: raise ``entry.RULES_VERSION`` and record anew
(tests/state/recording.py says how), so that a start switches existing logs over.
"""

from __future__ import annotations

from collections import Counter

from pileus.assembly import RULES
from pileus.state import tablets, versions
from pileus.state.replica import SqliteReplica
from tests.state.recording import golden, used

# Rules no golden log meets; a name may only be removed.
NOT_MET = {
    *("kv.delete", "kv.put", "s3.configure_account", "s3.edit", "s3.index_owned", "s3.recounted"),
}


def test_golden_logs_still_give_their_running_hashes() -> None:
    for number, log in enumerate(golden()):
        replica = SqliteReplica(":memory:", RULES)
        for entries, chain in log:
            first = replica.applied + 1
            replica.apply_group(first, entries)
            rules = sorted(used([(entries, chain)]))
            assert replica.chain == chain, f"log {number}, entry {first} on: one of {rules} changed"
        replica.close()


def test_golden_logs_meet_nearly_every_rule() -> None:
    met = sum((used(log) for log in golden()), Counter[str]())
    platform = set(RULES) | set(tablets.RULES) | set(versions.RULES)
    assert platform - set(met) - {"tablet.split", "rules.switch"} == NOT_MET
