"""The same entries give the same verdicts, rows and hash, however they are grouped, also when
requests are repeated at the window's edge and the node restarts between groups."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.errors import AwsError
from pileus.state import duplicates, entry, keys
from pileus.state.entry import Corrupt
from pileus.state.replica import SqliteReplica
from pileus.state.tx import Tx


def step(tx: Tx, args: int) -> int:
    """Count, refuse, break, or read a range: by ``args``."""
    key = keys.key("t", str(args % 3))
    count = int(tx.get(key) or b"0") + 1
    tx.put(key, str(count).encode())
    if args % 7 == 3:
        raise AwsError("No", "no")
    if args % 11 == 5:
        raise ValueError("a bug")
    if args % 5 == 1:
        prefix = keys.table_prefix("t")
        return len(tx.range(prefix, keys.after_prefix(prefix)))
    return count


RULES = {"test.step": step}
STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 12), st.sampled_from([0, 0, 1, 250_000, 601_000])),
    min_size=1,
    max_size=60,
)


def entries(steps: list[tuple[int, int, int]]) -> list[bytes]:
    now, made = 0, []
    for args, request, passed in steps:
        now += passed
        request_id = b"" if request == 0 else bytes([request]) * 16
        made.append(entry.pack(0, "test.step", now, request_id, args))
    return made


@pytest.fixture(scope="module", autouse=True)
def small_window() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(duplicates, "BUCKET", 4)
        patch.setattr(duplicates, "WINDOW_ENTRIES", 16)
        patch.setattr(duplicates, "WINDOW_BYTES", 1500)
        yield


@given(STEPS, st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=20))
@settings(max_examples=150, deadline=None)
def test_grouping_and_restarts_change_nothing(
    steps: list[tuple[int, int, int]], cuts: list[tuple[int, bool]]
) -> None:
    data = entries(steps)
    one = SqliteReplica(":memory:", RULES)
    whole = [v for i, e in enumerate(data) for v in one.apply_group(i + 1, [e])]
    other = SqliteReplica(":memory:", RULES)
    verdicts: list[bytes] = []
    turn = 0
    while len(verdicts) < len(data):
        size, restart = cuts[turn % len(cuts)]
        turn += 1
        if restart:
            fresh = SqliteReplica(":memory:", RULES)
            fresh.restore_image(other.image())
            other.close()
            other = fresh
        group = data[len(verdicts) : len(verdicts) + size]
        verdicts += other.apply_group(len(verdicts) + 1, group)
    assert verdicts == whole
    assert other.chain == one.chain
    everything = (b"", b"\xff" * 64)
    assert other.range(*everything) == one.range(*everything)
    one.close()
    other.close()


def test_a_group_that_fails_leaves_no_memory_of_its_requests(tmp_path: Path) -> None:
    replica = SqliteReplica(tmp_path / "state.db", RULES)
    good = entries([(2, 1, 0)])[0]
    damaged = good[:-1] + bytes([good[-1] ^ 1])
    with pytest.raises(Corrupt):
        replica.apply_group(1, [good, damaged])
    assert replica.applied == 0 and replica.row(keys.key("t", "2")) is None
    (verdict,) = replica.apply_group(1, [good])
    assert entry.open_verdict(verdict) == 1
    row = replica.row(keys.key("t", "2"))
    assert row is not None and row.value == b"1"
    replica.close()
