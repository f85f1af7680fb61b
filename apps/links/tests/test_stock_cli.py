"""The same template by the stock AWS CLI: package, deploy, use, delete (K2, H8)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from apps.links.tests.conftest import APP, Links
from tests.acceptance.aws_cli import AwsCli, within
from tests.conftest import Cloud


def test_package_deploy_and_delete(cloud: Cloud, tmp_path: Path) -> None:
    aws, packed = AwsCli(cloud), str(tmp_path / "packed.yaml")
    aws("s3", "mb", "s3://packaged-links")
    aws(
        "cloudformation", "package", "--template-file", str(APP / "template.yaml"),
        "--s3-bucket", "packaged-links", "--output-template-file", packed,
    )  # fmt: skip
    told = aws(
        "cloudformation", "deploy", "--template-file", packed, "--stack-name", "by-stock-cli",
        "--capabilities", "CAPABILITY_IAM", "--no-execute-changeset",
    )  # fmt: skip
    # Executed by hand: the command itself looks only every 30 seconds whether it is done.
    changes = re.search(r"arn:aws:cloudformation:\S+", told)[0]  # type: ignore[index]
    aws("cloudformation", "execute-change-set", "--change-set-name", changes)
    cfn = cloud.client("cloudformation")

    def complete() -> Any:
        stack = cfn.describe_stacks(StackName="by-stock-cli")["Stacks"][0]
        return stack if stack["StackStatus"] == "CREATE_COMPLETE" else None

    stack = within(30, complete)
    outputs = {o["OutputKey"]: o["OutputValue"] for o in stack["Outputs"]}
    made = Links(cloud, "by-stock-cli", outputs)
    status, short = made.shorten("https://example.org/")
    assert status == 200 and made.stats(short)["clicks"] == 0
    aws("cloudformation", "delete-stack", "--stack-name", "by-stock-cli")
    tables, buckets = cloud.client("dynamodb"), cloud.client("s3")
    within(20, lambda: outputs["Table"] not in tables.list_tables()["TableNames"])
    within(20, lambda: outputs["Bucket"] not in str(buckets.list_buckets()["Buckets"]))
    within(20, lambda: made.shorten("https://example.org/")[0] == 404)
