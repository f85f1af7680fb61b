"""``make suites SUITES=DIR``: suites that others wrote, run from outside the tree against a real
cloud.

``DIR/s3-tests`` is a checkout of ceph/s3-tests, ``DIR/dynalite`` one of dynalite with its packages
installed. Nothing of
them is kept here; the counts belong into docs/compatibility.md. S3's suite expects ACLs as they
were before 2023
(object writers own their objects, nothing is blocked), so it runs with that configuration, and says
so.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import Cloud, new_cloud
from tests.suites import dynalite

ALT, TENANT = "111111111111", "222222222222"
# What peers.md's count leaves out: features a service of this kind need not have at first.
LATER = (
    "lifecycle", "lifecycle_expiration", "lifecycle_transition", "cloud_transition",
    "cloud_restore", "encryption", "sse_s3", "bucket_encryption", "bucket_logging", "s3website",
    "s3website_routing_rules", "s3website_redirect_location", "appendobject", "fails_on_aws",
    "storage_class", "iam_account", "iam_cross_account", "iam_tenant", "iam_role",
)  # fmt: skip
S3_CONFIG = """
[DEFAULT]
host = 127.0.0.1
port = {port}
is_secure = False
ssl_verify = False
[fixtures]
bucket prefix = t-{{random}}-
iam name prefix = s3-tests-
iam path prefix = /s3-tests/
[s3 main]
display_name = main
user_id = {main_id}
email = main@example.com
api_name = default
access_key = {main[access_key_id]}
secret_key = {main[secret_access_key]}
[s3 alt]
display_name = alt
user_id = {alt_id}
email = alt@example.com
access_key = {alt[access_key_id]}
secret_key = {alt[secret_access_key]}
[s3 tenant]
display_name = tenant
user_id = {tenant_id}
email = tenant@example.com
access_key = {tenant[access_key_id]}
secret_key = {tenant[secret_access_key]}
tenant = testx
[iam]
display_name = iam
user_id = {main_id}
email = iam@example.com
access_key = {main[access_key_id]}
secret_key = {main[secret_access_key]}
[iam root]
user_id = {main_id}
email = root@example.com
access_key = {main[access_key_id]}
secret_key = {main[secret_access_key]}
[iam alt root]
user_id = {alt_id}
email = altroot@example.com
access_key = {alt[access_key_id]}
secret_key = {alt[secret_access_key]}
[s3 cloud]
host = 127.0.0.1
port = 1
access_key = none
secret_key = none
[webidentity]
token = none
aud = none
thumbprint = none
KC_REALM = none
"""


@contextmanager
def cloud() -> Iterator[Cloud]:
    home = Path(tempfile.mkdtemp(prefix="pileus-suites-"))
    os.environ["PILEUS_ACCOUNTS"] = f"{ALT},{TENANT}"
    os.environ["PILEUS_S3_LEGACY_DEFAULTS"] = "true"
    made = new_cloud(home)
    try:
        yield made.up()
    finally:
        made.down()
        shutil.rmtree(home, ignore_errors=True)


def s3_tests(directory: Path, made: Cloud, words: list[str]) -> str:
    """The counts of ceph/s3-tests, test_s3.py and test_headers.py."""
    owners = json.loads((made.home / "credentials.json").read_text())
    ids = {}
    for name, keys in (("main", owners), *owners["accounts"].items()):
        s3 = made.client(
            "s3", access_key=keys["access_key_id"], secret_key=keys["secret_access_key"]
        )
        ids[name] = s3.list_buckets()["Owner"]["ID"]
    config = made.home / "s3tests.conf"
    config.write_text(
        S3_CONFIG.format(
            port=made.port, main=owners, alt=owners["accounts"][ALT],
            tenant=owners["accounts"][TENANT], main_id=ids["main"], alt_id=ids[ALT],
            tenant_id=ids[TENANT],
        )
    )  # fmt: skip
    marker = " and ".join(f"not {name}" for name in LATER)
    files = ["s3tests/functional/test_s3.py", "s3tests/functional/test_headers.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--timeout=20",
         "--tb=no", "-m", marker, *words, *files],
        cwd=directory,
        env={**os.environ, "S3TEST_CONF": str(config)},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    (Path("var") / "s3-tests.txt").write_text(done.stdout)
    return done.stdout.strip().splitlines()[-1] if done.stdout else done.stderr[-500:]


def main() -> int:
    """Run what is found below ``--dir``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, required=True)
    parser.add_argument("words", nargs="*", help="passed on to pytest")
    wish = parser.parse_args()
    Path("var").mkdir(exist_ok=True)
    found = False
    with cloud() as made:
        if (wish.dir / "s3-tests").exists():
            found = True
            print("ceph/s3-tests:", s3_tests(wish.dir / "s3-tests", made, wish.words), flush=True)
        if (wish.dir / "dynalite" / "node_modules").exists():
            found = True
            print("dynalite:", dynalite.run(wish.dir / "dynalite", made), flush=True)
    if not found:
        print(f"no suite below {wish.dir}: see python -m tests.suites.run --help", file=sys.stderr)
    return 0 if found else 2


if __name__ == "__main__":
    sys.exit(main())
