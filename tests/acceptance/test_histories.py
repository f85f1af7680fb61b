"""Concurrent clients of a real cloud, killed in the middle: one order explains all they were told
(S5, T5)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import Cloud, new_cloud
from tests.soak.histories import KILLED, begin, one_round


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PILEUS_FRONT_PROCESSES", "3")
        cloud = new_cloud(tmp_path_factory.mktemp("histories") / "home").up()
        try:
            begin(cloud)
            yield cloud
        finally:
            cloud.down()


@pytest.mark.parametrize("killed", KILLED)
def test_one_order_explains_every_answer(busy: Cloud, killed: str, tmp_path: Path) -> None:
    recorder, when, wrong = one_round(busy, KILLED.index(killed), killed, 1.5, tmp_path)
    assert wrong == [], f"kept in {tmp_path}"
    done, transactions = recorder.operations, recorder.transactions
    assert {"committed", "aborted"} <= {t.outcome for t in transactions}
    assert any(o.key.endswith("/cell") and o.ended is not None for o in done)
    assert {"read", "write", "swap", "add"} == {o.kind for o in done if o.ended is not None}
    assert any(o.told[:1] == ("refused",) for o in done)
    for records in (done, transactions):
        assert any((r.ended or when) < when for r in records), "nothing before the kill"
        assert any(r.began > when and r.ended is not None for r in records), "nothing after it"
