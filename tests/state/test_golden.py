"""What the rules of a version once gave for entries, they still give: this release's, and each
older one's that it applies.

When this fails, a rule came to mean something else: raise ``entry.RULES_VERSION``, keep what the
rule meant (``RuleBook.older``) and record anew (tests/state/recording.py says how), so that a start
switches existing logs over.
"""

from __future__ import annotations

from collections import Counter

import pytest

from pileus.assembly import RULES
from pileus.services import dynamodb
from pileus.state import moves, owned, spanning, tablets, versions
from pileus.state.replica import SqliteReplica
from pileus.state.versions import RuleBook
from tests.state.recording import PLATFORM, Groups, golden, used

VERSIONS = range(RULES.oldest, RULES.version + 1)
SHARDS_SINCE = 4  # the version from which on logs of several shards are kept
OF_SHARDS = {*owned.RULES, *tablets.SHARD_RULES, *spanning.RULES, *moves.RULES}
# Rules no golden log meets; a name may only be removed.
NOT_MET = {
    *("kv.delete", "kv.put", "s3.configure_account", "s3.edit", "s3.index_owned", "s3.recounted"),
    *("purge", "txn.abort", "txn.forget", "txn.place"),
}


def first_parting(log: Groups, rules: RuleBook) -> str:
    """Where a log's replay leaves the running hash it had; "" where it never does."""
    replica = SqliteReplica(":memory:", rules)
    try:
        for entries, chain in log:
            first = replica.applied + 1
            replica.apply_group(first, entries)
            if replica.chain != chain:
                return f"entry {first} on: one of {sorted(used([(entries, chain)]))} changed"
        return ""
    finally:
        replica.close()


def under(version: int, log: Groups) -> RuleBook:
    """What applies a log: all rules where it says which are in force, else those of its version."""
    named = versions.SWITCH in used(log)
    return RULES if named else RuleBook(RULES.at(version), version=version)


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_logs_still_give_their_running_hashes(version: int) -> None:
    for number, log in enumerate(golden(version)):
        assert not first_parting(log, under(version, log)), f"log {number}"


@pytest.mark.parametrize("version", VERSIONS)
def test_golden_logs_meet_nearly_every_rule(version: int) -> None:
    met = sum((used(log) for log in golden(version)), Counter[str]())
    rules = PLATFORM if version >= SHARDS_SINCE else PLATFORM - OF_SHARDS
    assert rules - set(met) - {"tablet.split", "rules.switch"} <= NOT_MET


@pytest.mark.parametrize("version", sorted(dynamodb.OLDER))
def test_golden_logs_of_an_older_version_tell_it_from_the_newer(version: int) -> None:
    """So that the test above sees what ``RuleBook.older`` is for."""
    newer = RuleBook(RULES.at(RULES.version), {version: {}})
    assert any(first_parting(log, newer) for log in golden(version))
