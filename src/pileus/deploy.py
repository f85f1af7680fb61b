"""``pileus deploy DIR``: package an application's template, bring up its stack, upload its pages.

A plain client: everything goes through the public APIs with the caller's keys. Local paths in the
template
(function code, layer content) are zipped, named by their digest and put into a bucket of the
account, as
``aws cloudformation package`` does. ``Metadata: Pileus: Upload`` names directories to copy into
buckets of the stack.
"""

from __future__ import annotations

import hashlib
import io
import json
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from pileus import pages
from pileus.errors import Unavailable
from pileus.services.cloudformation.template import parse

Session = Callable[[str], Any]
LOCAL_CODE = {
    "AWS::Lambda::Function": ("Code", "S3Bucket", "S3Key"),
    "AWS::Lambda::LayerVersion": ("Content", "S3Bucket", "S3Key"),
    "AWS::Serverless::Function": ("CodeUri", "Bucket", "Key"),
    "AWS::Serverless::LayerVersion": ("ContentUri", "Bucket", "Key"),
    "Pileus::Service": ("Code", "S3Bucket", "S3Key"),
}
FIXED_TIME = (1980, 1, 1, 0, 0, 0)  # the same files give the same zip, so nothing is uploaded twice
STACK_SECONDS_MAX = 300


def read_template(directory: Path) -> dict[str, Any]:
    """The template of ``directory`` with short forms written out."""
    for name in ("template.yaml", "template.yml", "template.json"):
        file = directory / name
        if file.exists():
            return parse(file.read_text())
    raise Unavailable(f"{directory} has no template.yaml", "name the directory that holds it")


def deploy(
    session: Session, directory: Path, stack: str, parameters: dict[str, str] | None = None
) -> dict[str, str]:
    """Deploy the application in ``directory`` as ``stack``; its outputs. Shows progress on the
    terminal."""
    template = read_template(directory)
    bucket = _code_bucket(session)
    for name, resource in template.get("Resources", {}).items():
        _package(session, bucket, directory, name, resource)
    outputs = _change_stack(session, stack, template, parameters or {})
    for wish in template.get("Metadata", {}).get("Pileus", {}).get("Upload", []):
        pages.upload(session, stack, directory, wish, outputs)
    return outputs


def addresses(directory: Path, outputs: dict[str, str], edge: str) -> list[str]:
    """Where the application's page is, best first; ``edge`` is the edge's own address. The
    distribution tagged ``pileus:home`` answers there."""
    if "Domain" not in outputs:
        return []
    resources = read_template(directory).get("Resources", {}).values()
    tags = [t for r in resources for t in _tags(r) if r["Type"] == "AWS::CloudFront::Distribution"]
    home = any(t.get("Key") == "pileus:home" for t in tags)
    if "localhost" in edge:
        own = f"{edge.replace('localhost', outputs['Domain'])}/"
    else:  # an address has no names below it
        own = f"{edge}/_cdn/{outputs['Domain'].partition('.')[0]}/"
    return [f"{edge}/", own] if home else [own]


def _tags(resource: dict[str, Any]) -> list[dict[str, Any]]:
    tags = resource.get("Properties", {}).get("Tags", [])
    return [t for t in tags if isinstance(t, dict)] if isinstance(tags, list) else []


def _code_bucket(session: Session) -> str:
    account = session("sts").get_caller_identity()["Account"]
    s3 = session("s3")
    bucket = f"pileus-deploy-{account}-{s3.meta.region_name}"
    region = s3.meta.region_name
    where = (
        {}
        if region == "us-east-1"
        else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    )
    try:
        s3.create_bucket(Bucket=bucket, **where)
    except s3.exceptions.BucketAlreadyOwnedByYou:
        return bucket
    return bucket


def _package(session: Session, bucket: str, directory: Path, name: str, resource: Any) -> None:
    where = LOCAL_CODE.get(resource.get("Type"))
    properties = resource.get("Properties", {})
    if where is None or not isinstance(properties.get(where[0]), str):
        return
    local = directory / properties[where[0]]
    if properties[where[0]].startswith("s3://"):
        return
    if not local.exists():
        raise Unavailable(f"{name}: {local} does not exist", f"its {where[0]} names a local path")
    data = local.read_bytes() if local.suffix == ".zip" else zip_directory(local)
    key = f"{hashlib.sha256(data).hexdigest()}.zip"
    s3 = session("s3")
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except s3.exceptions.ClientError:
        s3.put_object(Bucket=bucket, Key=key, Body=data)
    properties[where[0]] = {where[1]: bucket, where[2]: key}


def zip_directory(directory: Path) -> bytes:
    """Every file below ``directory``, in an order and with times that do not change."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as z:
        for file in sorted(p for p in directory.rglob("*") if p.is_file()):
            if "__pycache__" in file.parts:
                continue
            info = zipfile.ZipInfo(str(file.relative_to(directory)), FIXED_TIME)
            info.external_attr = (0o755 if file.stat().st_mode & 0o100 else 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            z.writestr(info, file.read_bytes())
    return buffer.getvalue()


def _change_stack(
    session: Session, stack: str, template: dict[str, Any], parameters: dict[str, str]
) -> dict[str, str]:
    """Create or update by a change set, print events as they come, answer the outputs."""
    cfn = session("cloudformation")
    had = _stack(cfn, stack)
    kind = "UPDATE" if had else "CREATE"
    name = f"deploy-{int(time.time() * 1000)}"
    made = cfn.create_change_set(
        StackName=stack,
        ChangeSetName=name,
        ChangeSetType=kind,
        TemplateBody=json.dumps(template),
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        Parameters=_parameters(had, template, parameters),
    )
    change = _settled(lambda: cfn.describe_change_set(ChangeSetName=made["Id"], StackName=stack))
    if change["Status"] == "FAILED":
        reason = change.get("StatusReason", "")
        cfn.delete_change_set(ChangeSetName=made["Id"], StackName=stack)
        if "didn't contain changes" not in reason and "No updates" not in reason:
            raise Unavailable(f"the change set failed: {reason}", "mend the template")
        click.echo(f"{stack}: nothing to change", err=True)
        return _outputs(_stack(cfn, stack))
    since = _last_event(cfn, stack)
    cfn.execute_change_set(ChangeSetName=made["Id"], StackName=stack)
    return _outputs(_follow(cfn, stack, since, len(change.get("Changes", []))))


def _parameters(
    had: dict[str, Any] | None, template: dict[str, Any], given: dict[str, str]
) -> list[dict[str, Any]]:
    """Those given; of the others a stack keeps what it has."""
    kept = {p["ParameterKey"] for p in (had or {}).get("Parameters", [])} - set(given)
    return [
        *({"ParameterKey": k, "ParameterValue": v} for k, v in given.items()),
        *(
            {"ParameterKey": k, "UsePreviousValue": True}
            for k in sorted(kept & set(template.get("Parameters", {})))
        ),
    ]


def _settled(describe: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + STACK_SECONDS_MAX
    while True:
        change = describe()
        if change["Status"] in ("CREATE_COMPLETE", "FAILED"):
            return change
        if time.monotonic() > deadline:
            raise Unavailable("the change set does not settle", "look at it: aws cloudformation")
        time.sleep(0.1)


def _stack(cfn: Any, stack: str) -> dict[str, Any] | None:
    try:
        found = cfn.describe_stacks(StackName=stack)["Stacks"][0]
    except cfn.exceptions.ClientError as e:
        if e.response["Error"]["Code"] != "ValidationError":
            raise
        return None
    return None if found["StackStatus"] in ("REVIEW_IN_PROGRESS", "DELETE_COMPLETE") else found


def _outputs(stack: dict[str, Any] | None) -> dict[str, str]:
    outputs = (stack or {}).get("Outputs", [])
    return {o["OutputKey"]: o["OutputValue"] for o in outputs}


def _events(cfn: Any, stack: str) -> Iterator[dict[str, Any]]:
    yield from cfn.describe_stack_events(StackName=stack)["StackEvents"]


def _last_event(cfn: Any, stack: str) -> str:
    return next((str(e["EventId"]) for e in _events(cfn, stack)), "")


def _follow(cfn: Any, stack: str, since: str, count: int) -> dict[str, Any]:
    done: set[str] = set()
    seen = {since}
    deadline = time.monotonic() + STACK_SECONDS_MAX
    with click.progressbar(length=max(count, 1), label=f"{stack:<14}", file=sys.stderr) as bar:
        while time.monotonic() < deadline:
            for event in _events(cfn, stack):
                if event["EventId"] in seen:
                    break
                seen.add(event["EventId"])
                logical = event["LogicalResourceId"]
                if event["ResourceStatus"].endswith("_COMPLETE") and logical not in done | {stack}:
                    done.add(logical)
                    bar.update(1)
            now = _stack(cfn, stack)
            if now and not now["StackStatus"].endswith("_IN_PROGRESS"):
                break
            time.sleep(0.2)
        else:
            raise Unavailable(f"{stack} is still changing", "aws cloudformation describe-stacks")
    if now is None or now["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        raise Unavailable(f"{stack}: {_why(cfn, stack)}", "mend the template and deploy again")
    return now


def _why(cfn: Any, stack: str) -> str:
    failed = [e for e in _events(cfn, stack) if e["ResourceStatus"].endswith("_FAILED")]
    lines = [f"{e['LogicalResourceId']}: {e.get('ResourceStatusReason', '')}" for e in failed]
    return "; ".join(lines[:3]) or "the stack did not complete"
