"""The ``pileus`` command as a user types it (O2): answers, exit codes, hints, proofs."""

from __future__ import annotations

import json
import re
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

from tests.acceptance.aws_cli import http
from tests.conftest import SOURCE, Cloud, new_cloud, pileus
from tests.programs import absent


def test_status_env_and_config(cloud: Cloud) -> None:
    told = pileus("status", "--home", str(cloud.home), "--json")
    assert told.returncode == 0
    assert json.loads(told.stdout)["health"]["status"] == "ready"
    lines = pileus("status", "--home", str(cloud.home)).stdout.splitlines()
    said = dict(line.split(maxsplit=1) for line in lines[: lines.index("")])
    assert said["cloud"].startswith("ready, Pileus ") and said["endpoint"] == cloud.endpoint
    assert "dynamodb, dynamodbstreams, iam" in said["services"] and "warning" not in said
    alone = pileus("nodes", "--home", str(cloud.home))
    assert alone.returncode == 0 and "pileus init" in alone.stdout
    shell = pileus("env", "--home", str(cloud.home)).stdout
    assert f"export AWS_ENDPOINT_URL={cloud.endpoint}" in shell
    config = json.loads(pileus("config", "--home", str(cloud.home), "--json").stdout)
    assert config["region"] == "us-east-1"


def test_no_cloud_is_exit_code_3_with_a_hint(tmp_path: Path) -> None:
    for words in (["status"], ["env"], ["down"], ["logs", "f"]):
        done = pileus(*words, "--home", str(tmp_path))
        assert done.returncode == 3
        assert "pileus up" in done.stderr


def test_a_second_cloud_on_the_same_home_is_refused(cloud: Cloud) -> None:
    done = pileus("up", "--home", str(cloud.home), *cloud.options, "--apps", "none", "--detach")
    assert done.returncode == 1
    assert "already runs" in done.stderr and "pileus status" in done.stderr


def test_a_port_in_use_is_refused_with_a_hint(cloud: Cloud, tmp_path: Path) -> None:
    done = pileus("up", "--home", str(tmp_path), "--port", str(cloud.port), "--detach")
    assert done.returncode == 1
    assert str(cloud.port) in done.stderr and "--port" in done.stderr


def test_keys_are_readable_by_the_owner_only(cloud: Cloud) -> None:
    assert (cloud.home / "credentials.json").stat().st_mode & 0o077 == 0
    assert cloud.home.stat().st_mode & 0o077 == 0
    secret = json.loads((cloud.home / "credentials.json").read_text())["secret_access_key"]
    assert secret not in cloud.log()


def test_verify_proves_the_state_and_finds_a_flipped_bit(own_cloud: Cloud) -> None:
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="verify")
    s3.put_object(Bucket="verify", Key="large", Body=b"y" * 300_000)
    home = str(own_cloud.home)
    assert pileus("verify", "--home", home).returncode == 0
    blob = max((p for p in (own_cloud.home / "blobs").rglob("*") if p.is_file()), key=_size)
    data = bytearray(blob.read_bytes())
    data[1000] ^= 1
    blob.chmod(0o600)
    blob.write_bytes(data)
    done = pileus("verify", "--home", home)
    assert done.returncode == 1
    assert blob.name in done.stderr and "restore" in done.stderr


def _size(path: Path) -> int:
    return path.stat().st_size


def test_backup_and_restore_to_a_second(own_cloud: Cloud, tmp_path: Path) -> None:
    s3 = own_cloud.client("s3")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="early", Body=b"e" * 100_000)
    kept, back = tmp_path / "backup", tmp_path / "back"
    assert pileus("backup", str(kept), "--home", str(own_cloud.home)).returncode == 0
    s3.put_object(Bucket="kept", Key="middle", Body=b"m")
    time.sleep(1.1)
    moment = datetime.now(UTC).isoformat()
    time.sleep(1.1)
    s3.delete_object(Bucket="kept", Key="early")
    assert pileus("backup", str(kept), "--home", str(own_cloud.home)).returncode == 0
    own_cloud.down()
    done = pileus("restore", str(kept), "--home", str(back), "--at", moment)
    assert done.returncode == 0, done.stderr
    again = new_cloud(back).up()
    try:
        keys = [o["Key"] for o in again.client("s3").list_objects_v2(Bucket="kept")["Contents"]]
        assert keys == ["early", "middle"]
        body = again.client("s3").get_object(Bucket="kept", Key="early")["Body"].read()
        assert body == b"e" * 100_000
    finally:
        again.down()
        shutil.rmtree(back)


def test_an_app_that_cannot_be_deployed_leaves_the_cloud_running(tmp_path: Path) -> None:
    apart = tmp_path / "src"  # an installation without the apps beside it
    ignored = shutil.ignore_patterns("node_modules", "__pycache__")
    shutil.copytree(SOURCE, apart, ignore=ignored)
    made = new_cloud(tmp_path / "home")
    words = ("up", "--home", str(made.home), *made.options, "--detach")
    done = pileus(*words, PYTHONPATH=str(apart))
    try:
        assert done.returncode == 1 and "AWS endpoint" in done.stdout
        assert "links is not deployed" in done.stderr and "--apps none" in done.stderr
        assert pileus("status", "--home", str(made.home)).returncode == 0
    finally:
        made.down()


def test_up_deploys_the_links_and_says_where_they_are(tmp_path: Path) -> None:
    if not (SOURCE.parent / "apps/links/web/dist/index.html").exists():
        absent("The built page", "make setup")
    made = new_cloud(tmp_path / "home")
    first = True
    for _ in range(2):
        done = pileus("up", "--home", str(made.home), *made.options, "--detach", timeout=120)
        try:
            assert done.returncode == 0, done.stderr + made.log()[-3000:]
            assert ("nothing to change" in done.stderr) != first
            bare, own = re.findall(r"http://[\w.]*localhost:\d+/(?!admin)", done.stdout)
            assert own.partition(".")[2].startswith("cloudfront.localhost:")
            for address in (bare, own):
                status, _, page = http(address)
                assert status == 200 and b"<links-page>" in page
        finally:
            made.down()
        first = False
