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
