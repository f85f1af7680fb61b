"""That a node's log is out of reach is written down for its other processes, where there is
room."""

from __future__ import annotations

from pathlib import Path

from pileus.state import degraded


def test_it_is_told_and_taken_back_and_a_full_disk_stops_nobody(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    assert degraded.told(tmp_path) == ""
    degraded.tell(tmp_path, "the log has no leader")
    assert degraded.told(tmp_path) == "the log has no leader"
    degraded.tell(tmp_path, "")
    assert degraded.told(tmp_path) == ""
    (tmp_path / "run" / degraded.FILE).mkdir()  # where nothing can be written
    degraded.tell(tmp_path, "the log has no leader")
    assert degraded.told(tmp_path) == ""


def test_each_shard_is_told_of_by_itself(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    degraded.tell(tmp_path, "no leader", 2)
    assert degraded.silent(tmp_path) == {2: "no leader"}
    assert degraded.told(tmp_path) == "shard 2: no leader"
    degraded.tell(tmp_path, "it was closed")
    degraded.tell(tmp_path, "no leader", 11)
    assert list(degraded.silent(tmp_path)) == [0, 2, 11]
    assert degraded.told(tmp_path).startswith("shard 0: it was closed; shard 2: no leader; ")
    for number in (2, 11):
        degraded.tell(tmp_path, "", number)
    assert degraded.told(tmp_path) == "it was closed"
