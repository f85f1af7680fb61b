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
# Rules no golden log of versions 2 and 3 meets; those of later ones meet every rule.
NOT_MET = {
    *("kv.delete", "kv.put", "s3.configure_account", "s3.edit", "s3.index_owned", "s3.recounted"),
    *("purge", "tablet.split", "rules.switch"),
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
def test_golden_logs_meet_every_rule(version: int) -> None:
    met = sum((used(log) for log in golden(version)), Counter[str]())
    unmet = set() if version >= SHARDS_SINCE else NOT_MET | OF_SHARDS
    assert PLATFORM - set(met) <= unmet


@pytest.mark.parametrize("version", sorted(dynamodb.OLDER))
def test_golden_logs_tell_a_version_from_the_next(version: int) -> None:
    """Each way, so that the first test sees what ``RuleBook.older`` is for, and what came anew."""
    newer = RuleBook(RULES.at(RULES.version), {version: {}})
    assert any(first_parting(log, newer) for log in golden(version))
    former = RuleBook(RULES.at(version), {version: {}}, version + 1)
    assert any(first_parting(log, former) for log in golden(version + 1))
