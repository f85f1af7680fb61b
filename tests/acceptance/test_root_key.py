"""The root key's ways: with a backup where it lies in the home, apart where it does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import new_cloud, pileus


def test_a_backup_opens_with_the_root_key_and_not_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"kept " * 50_000
    apart, backup = tmp_path / "stick" / "root.key", tmp_path / "backup"
    monkeypatch.setenv("PILEUS_ROOT_KEY_FILE", str(apart))
    cloud = new_cloud(tmp_path / "home").up()
    try:
        s3 = cloud.client("s3")
        s3.create_bucket(Bucket="kept")
        s3.put_object(Bucket="kept", Key="k", Body=data)
        done = pileus("backup", str(backup), "--home", str(cloud.home))
        assert done.returncode == 0, done.stderr
    finally:
        cloud.down()
    assert apart.stat().st_mode & 0o777 == 0o600
    key = apart.read_bytes().strip()
    for place in (cloud.home, backup):
        files = [p for p in place.rglob("*") if p.is_file()]
        assert not any(key in p.read_bytes() or b"kept kept" in p.read_bytes() for p in files)
    again = new_cloud(tmp_path / "again")
    done = pileus("restore", str(backup), "--home", str(again.home))
    assert done.returncode == 0, done.stderr
    apart.rename(tmp_path / "aside")
    with pytest.raises(RuntimeError, match=r"root key .* cannot be read"):
        again.up()
    apart.write_bytes(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
    with pytest.raises(RuntimeError, match="not the root key of this cloud"):
        again.up()
    # Moved into the home, it travels with the next backup.
    apart.unlink()
    shutil.copy(tmp_path / "aside", again.home / "root.key")
    monkeypatch.delenv("PILEUS_ROOT_KEY_FILE")
    try:
        found = again.up().client("s3").get_object(Bucket="kept", Key="k")
        assert found["Body"].read() == data
        done = pileus("backup", str(tmp_path / "second"), "--home", str(again.home))
        assert done.returncode == 0, done.stderr
    finally:
        again.down()
    assert (tmp_path / "second" / "root.key").stat().st_mode & 0o777 == 0o600
