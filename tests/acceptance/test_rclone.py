"""rclone with nothing but the endpoint and the keys (O3): folders go there and back."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Cloud
from tests.programs import absent

NAMES = ("plain", "with blank", "grüße/ünïcode", "plus+percent%20", "deep/er/est/empty")


@pytest.fixture
def remote(cloud: Cloud, tmp_path: Path) -> Path:
    """A configuration with one remote, ``cloud:``."""
    told = {"type": "s3", "provider": "Other", "env_auth": "true", "endpoint": cloud.endpoint}
    told |= {"region": "us-east-1", "force_path_style": "true"}
    file = tmp_path / "rclone.conf"
    file.write_text("[cloud]\n" + "".join(f"{k} = {v}\n" for k, v in told.items()))
    return file


def test_a_folder_goes_there_and_back(cloud: Cloud, remote: Path, tmp_path: Path) -> None:
    program = shutil.which("rclone") or absent("rclone", "apt-get install rclone")

    def rclone(*words: str | Path) -> str:
        done = subprocess.run(
            [program, "--config", remote, "--retries", "1", *words],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), **cloud.env},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    there, back = tmp_path / "there", tmp_path / "back"
    for name in NAMES:
        file = there / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("" if name.endswith("empty") else name)
    (there / "large").write_bytes(os.urandom(11 * 1024 * 1024))
    pieces = ("--s3-upload-cutoff", "6M", "--s3-chunk-size", "5M")  # several parts
    rclone("sync", there, "cloud:rclone-folder/in", *pieces)
    rclone("check", there, "cloud:rclone-folder/in", "--download")
    (there / "plain").write_text("changed")
    (there / "with blank").unlink()
    rclone("sync", there, "cloud:rclone-folder/in")
    rclone("moveto", "cloud:rclone-folder/in/large", "cloud:rclone-folder/moved/large")
    rclone("copy", "cloud:rclone-folder/in", back)
    kept = {str(f.relative_to(there)) for f in there.rglob("*") if f.is_file()} - {"large"}
    assert {str(f.relative_to(back)) for f in back.rglob("*") if f.is_file()} == kept
    assert all((back / name).read_bytes() == (there / name).read_bytes() for name in kept)
    assert "large" in rclone("lsf", "cloud:rclone-folder/moved")
    rclone("purge", "cloud:rclone-folder")
    assert "rclone-folder" not in rclone("lsd", "cloud:")
