"""KMS through boto3: keys, aliases, what they encrypt, who may, and what ends."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import Cloud


@pytest.fixture(scope="module")
def kms(cloud: Cloud) -> Any:
    return cloud.client("kms")


@pytest.fixture
def key(kms: Any) -> str:
    return str(kms.create_key(Description="a test's")["KeyMetadata"]["KeyId"])


def refused(call: Callable[..., Any], **params: Any) -> tuple[str, str, int]:
    """(code, message, status) of an error."""
    with pytest.raises(ClientError) as caught:
        call(**params)
    told = caught.value.response
    status = told["ResponseMetadata"]["HTTPStatusCode"]
    return told["Error"]["Code"], told["Error"].get("Message", ""), status


def user(cloud: Cloud, *actions: str) -> tuple[Any, str]:
    """(KMS client, ARN) of a new user who may do ``actions`` to any key."""
    iam, name = cloud.client("iam"), f"u-{uuid.uuid4().hex[:10]}"
    arn = iam.create_user(UserName=name)["User"]["Arn"]
    if actions:
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    made = iam.create_access_key(UserName=name)["AccessKey"]
    keys = {"access_key": made["AccessKeyId"], "secret_key": made["SecretAccessKey"]}
    return cloud.client("kms", **keys), arn


def test_a_key_is_described_and_listed(kms: Any, key: str) -> None:
    told = kms.describe_key(KeyId=key)["KeyMetadata"]
    assert told["Arn"].endswith(f":key/{key}")
    assert (told["KeyState"], told["KeyManager"], told["Enabled"]) == ("Enabled", "CUSTOMER", True)
    assert (told["KeySpec"], told["KeyUsage"]) == ("SYMMETRIC_DEFAULT", "ENCRYPT_DECRYPT")
    found = [k["KeyId"] for p in kms.get_paginator("list_keys").paginate() for k in p["Keys"]]
    assert key in found
    page = kms.list_keys(Limit=1)
    assert page["Truncated"] == (len(found) > 1)
    assert kms.describe_key(KeyId=told["Arn"])["KeyMetadata"]["KeyId"] == key
    code, text, status = refused(kms.describe_key, KeyId=str(uuid.uuid4()))
    assert (code, status) == ("NotFoundException", 400)
    assert "does not exist" in text
    assert refused(kms.create_key, KeySpec="RSA_2048", KeyUsage="SIGN_VERIFY")[0] == (
        "UnsupportedOperationException"
    )


def test_what_is_encrypted_is_decrypted_under_its_context_only(kms: Any, key: str) -> None:
    context = {"department": "10103.0", "é": "ü"}
    sealed = kms.encrypt(KeyId=key, Plaintext=b"secret words", EncryptionContext=context)
    blob = sealed["CiphertextBlob"]
    assert b"secret words" not in blob
    told = kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)
    assert told["Plaintext"] == b"secret words"
    assert told["KeyId"] == sealed["KeyId"]
    assert kms.encrypt(KeyId=key, Plaintext=b"x")["CiphertextBlob"] != blob
    wrong = "InvalidCiphertextException"
    assert refused(kms.decrypt, CiphertextBlob=blob)[0] == wrong
    other = {**context, "department": "10103.1"}
    assert refused(kms.decrypt, CiphertextBlob=blob, EncryptionContext=other)[0] == wrong
    for at in (0, 3, 10, 24, 30, len(blob) - 1):
        changed = bytearray(blob)
        changed[at] ^= 1
        call = {"CiphertextBlob": bytes(changed), "EncryptionContext": context}
        assert refused(kms.decrypt, **call)[0] == wrong
    another = kms.create_key()["KeyMetadata"]["KeyId"]
    call = {"CiphertextBlob": blob, "EncryptionContext": context, "KeyId": another}
    assert refused(kms.decrypt, **call)[0] == "IncorrectKeyException"
    assert refused(kms.encrypt, KeyId=key, Plaintext=b"x" * 4097)[0] == "ValidationException"


def test_data_keys_open_with_their_key(kms: Any, key: str) -> None:
    told = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext={"a": "b"})
    assert len(told["Plaintext"]) == 32
    opened = kms.decrypt(CiphertextBlob=told["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert opened["Plaintext"] == told["Plaintext"]
    dark = kms.generate_data_key_without_plaintext(KeyId=key, NumberOfBytes=24)
    assert "Plaintext" not in dark
    assert len(kms.decrypt(CiphertextBlob=dark["CiphertextBlob"])["Plaintext"]) == 24
    assert refused(kms.generate_data_key, KeyId=key)[0] == "ValidationException"
    assert len(kms.generate_random(NumberOfBytes=33)["Plaintext"]) == 33
    dry = refused(kms.generate_data_key, KeyId=key, KeySpec="AES_256", DryRun=True)
    assert dry[0] == "DryRunOperationException"


def test_re_encrypt_moves_between_keys_and_contexts(kms: Any, key: str) -> None:
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext={"a": "1"})["CiphertextBlob"]
    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext={"a": "1"},
        DestinationKeyId=other,
        DestinationEncryptionContext={"b": "2"},
    )
    assert moved["SourceKeyId"].endswith(key)
    assert moved["KeyId"].endswith(other)
    again = kms.decrypt(
        CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"b": "2"}, KeyId=other
    )
    assert again["Plaintext"] == b"p"


def test_a_disabled_key_and_one_that_is_going_serve_nothing(kms: Any, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]
    kms.disable_key(KeyId=key)
    code, text, _ = refused(kms.decrypt, CiphertextBlob=blob)
    assert (code, text) == (
        "DisabledException",
        f"{kms.describe_key(KeyId=key)['KeyMetadata']['Arn']} is disabled.",
    )
    kms.enable_key(KeyId=key)
    told = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    assert told["KeyState"] == "PendingDeletion"
    days = told["DeletionDate"] - kms.describe_key(KeyId=key)["KeyMetadata"]["CreationDate"]
    assert 6.9 < days.total_seconds() / 86400 < 7.1
    for call in (
        lambda: kms.decrypt(CiphertextBlob=blob),
        lambda: kms.encrypt(KeyId=key, Plaintext=b"p"),
        lambda: kms.enable_key(KeyId=key),
        lambda: kms.schedule_key_deletion(KeyId=key),
    ):
        assert refused(call)[0] == "KMSInvalidStateException"
    kms.cancel_key_deletion(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "Disabled"
    kms.enable_key(KeyId=key)
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"
    assert refused(kms.cancel_key_deletion, KeyId=key)[0] == "KMSInvalidStateException"
    wrong = refused(kms.schedule_key_deletion, KeyId=key, PendingWindowInDays=6)
    assert wrong[0] == "ValidationException"


def test_aliases(kms: Any, key: str) -> None:
    name = f"alias/app/{uuid.uuid4().hex[:8]}"
    kms.create_alias(AliasName=name, TargetKeyId=key)
    assert kms.describe_key(KeyId=name)["KeyMetadata"]["KeyId"] == key
    assert refused(kms.create_alias, AliasName=name, TargetKeyId=key)[0] == "AlreadyExistsException"
    told = kms.list_aliases(KeyId=key)["Aliases"]
    assert [a["AliasName"] for a in told] == [name]
    blob = kms.encrypt(KeyId=name, Plaintext=b"p")["CiphertextBlob"]
    other = kms.create_key()["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=name, TargetKeyId=other)
    assert kms.describe_key(KeyId=told[0]["AliasArn"])["KeyMetadata"]["KeyId"] == other
    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"
    assert refused(kms.disable_key, KeyId=name)[0] == "NotFoundException"
    kms.delete_alias(AliasName=name)
    assert refused(kms.encrypt, KeyId=name, Plaintext=b"p")[0] == "NotFoundException"
    assert refused(kms.delete_alias, AliasName=name)[0] == "NotFoundException"
    mine = refused(kms.create_alias, AliasName="alias/aws/mine", TargetKeyId=key)
    assert mine[0] == "NotAuthorizedException"


def test_rotation_keeps_what_was_encrypted(kms: Any, key: str) -> None:
    old = kms.encrypt(KeyId=key, Plaintext=b"old")["CiphertextBlob"]
    assert not kms.get_key_rotation_status(KeyId=key)["KeyRotationEnabled"]
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=180)
    told = kms.get_key_rotation_status(KeyId=key)
    assert (told["KeyRotationEnabled"], told["RotationPeriodInDays"]) == (True, 180)
    kms.disable_key_rotation(KeyId=key)
    kms.rotate_key_on_demand(KeyId=key)
    new = kms.encrypt(KeyId=key, Plaintext=b"new")["CiphertextBlob"]
    found = [kms.decrypt(CiphertextBlob=b) for b in (old, new)]
    assert [f["Plaintext"] for f in found] == [b"old", b"new"]
    assert found[0]["KeyMaterialId"] != found[1]["KeyMaterialId"]
    done = kms.list_key_rotations(KeyId=key)["Rotations"]
    assert [r["RotationType"] for r in done] == ["ON_DEMAND"]


def test_tags(kms: Any) -> None:
    made = kms.create_key(Tags=[{"TagKey": "a", "TagValue": "1"}])["KeyMetadata"]["KeyId"]
    kms.tag_resource(KeyId=made, Tags=[{"TagKey": "b", "TagValue": "2"}])
    kms.untag_resource(KeyId=made, TagKeys=["a"])
    assert kms.list_resource_tags(KeyId=made)["Tags"] == [{"TagKey": "b", "TagValue": "2"}]
    wrong = [{"TagKey": "aws:x", "TagValue": ""}]
    assert refused(kms.tag_resource, KeyId=made, Tags=wrong)[0] == "TagException"


def test_the_keys_policy_has_the_last_word(cloud: Cloud, kms: Any, key: str) -> None:
    may, _ = user(cloud, "kms:*")
    outsider, outsider_arn = user(cloud)
    blob = may.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]  # the account's identities may
    code, text, status = refused(outsider.decrypt, CiphertextBlob=blob)
    assert (code, status) == ("AccessDeniedException", 400)
    assert "kms:Decrypt" in text
    owner = "arn:aws:iam::000000000000:root"
    told = kms.get_key_policy(KeyId=key)["Policy"]
    assert json.loads(told)["Statement"][0]["Principal"] == {"AWS": owner}
    root = cloud.client("sts").get_caller_identity()["Arn"]
    statements = [
        {"Effect": "Allow", "Principal": {"AWS": root}, "Action": "kms:PutKeyPolicy"},
        {
            "Effect": "Allow",
            "Principal": {"AWS": outsider_arn},
            "Action": "kms:Decrypt",
            "Condition": {"StringEquals": {"kms:EncryptionContext:for": "them"}},
        },
    ]
    for statement in statements:
        statement["Resource"] = "*"
    document = {"Version": "2012-10-17", "Statement": statements}
    theirs = may.encrypt(KeyId=key, Plaintext=b"t", EncryptionContext={"for": "them"})
    kms.put_key_policy(KeyId=key, Policy=json.dumps(document))
    told_blob = theirs["CiphertextBlob"]
    opened = outsider.decrypt(CiphertextBlob=told_blob, EncryptionContext={"for": "them"})
    assert opened["Plaintext"] == b"t"
    denied = "AccessDeniedException"
    assert refused(outsider.decrypt, CiphertextBlob=blob)[0] == denied
    # kms:* of an identity does not count where the key's policy does not name its account for it.
    assert refused(may.decrypt, CiphertextBlob=blob)[0] == denied
    assert refused(kms.describe_key, KeyId=key)[0] == denied
    del statements[0]
    shut = refused(kms.put_key_policy, KeyId=key, Policy=json.dumps(document))
    assert shut[0] == "MalformedPolicyDocumentException"


def test_a_grant_lasts_until_it_is_revoked(cloud: Cloud, kms: Any, key: str) -> None:
    guest, arn = user(cloud)
    told = kms.create_grant(
        KeyId=key,
        GranteePrincipal=arn,
        RetiringPrincipal=arn,
        Operations=["Decrypt"],
        Constraints={"EncryptionContextSubset": {"app": "x"}},
    )
    context = {"app": "x", "more": "y"}
    blob = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext=context)["CiphertextBlob"]
    call = {"CiphertextBlob": blob, "EncryptionContext": context}
    assert guest.decrypt(**call)["Plaintext"] == b"p"
    assert refused(guest.encrypt, KeyId=key, Plaintext=b"p")[0] == "AccessDeniedException"
    listed = kms.list_grants(KeyId=key)["Grants"]
    assert [(g["GrantId"], g["GranteePrincipal"]) for g in listed] == [(told["GrantId"], arn)]
    assert len(kms.list_retirable_grants(RetiringPrincipal=arn)["Grants"]) == 1
    guest.retire_grant(GrantToken=told["GrantToken"])
    assert refused(guest.decrypt, **call)[0] == "AccessDeniedException"
    gone = refused(kms.revoke_grant, KeyId=key, GrantId=told["GrantId"])
    assert gone[0] == "NotFoundException"


def test_the_key_of_a_service_is_made_when_asked_for(kms: Any) -> None:
    told = kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]
    assert told["KeyManager"] == "AWS"
    assert kms.describe_key(KeyId="alias/aws/s3")["KeyMetadata"]["KeyId"] == told["KeyId"]
    # Only through the service: its policy lets nobody encrypt with it directly.
    code, _, _ = refused(kms.encrypt, KeyId="alias/aws/s3", Plaintext=b"p")
    assert code == "AccessDeniedException"
    assert refused(kms.disable_key, KeyId=told["KeyId"])[0] == "AccessDeniedException"
    assert refused(kms.schedule_key_deletion, KeyId=told["KeyId"])[0] == "AccessDeniedException"


def test_keys_outlive_a_kill_and_a_lost_root_key_is_told(own_cloud: Cloud) -> None:
    kms = own_cloud.client("kms")
    key = kms.create_key()["KeyMetadata"]["KeyId"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"kept")["CiphertextBlob"]
    root = own_cloud.home / "root.key"
    assert root.stat().st_mode & 0o777 == 0o600
    own_cloud.down()
    text = root.read_text().strip().encode()
    for file in own_cloud.home.rglob("*"):
        if file.is_file() and file.name != "root.key":
            assert text not in file.read_bytes(), file
    own_cloud.up()
    assert own_cloud.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"
    own_cloud.down()
    aside = root.rename(own_cloud.home / "aside")
    with pytest.raises(RuntimeError, match=r"root key .* cannot be read"):
        own_cloud.up()
    aside.rename(root)
    own_cloud.up()
    assert own_cloud.client("kms").decrypt(CiphertextBlob=blob)["Plaintext"] == b"kept"


def test_a_grant_names_a_principal_or_a_service(kms: Any, key: str) -> None:
    nobody = refused(kms.create_grant, KeyId=key, Operations=["Encrypt"])
    assert "granteePrincipal" in nobody[1]
    service = {"GranteeServicePrincipal": "a.amazonaws.com", "Operations": ["Encrypt"]}
    kms.create_grant(KeyId=key, RetiringServicePrincipal="b.amazonaws.com", **service)
    told = kms.list_retirable_grants(RetiringServicePrincipal="b.amazonaws.com")["Grants"]
    assert [g["GranteeServicePrincipal"] for g in told] == ["a.amazonaws.com"]


def test_answers_as_recorded_of_aws(kms: Any, key: str) -> None:
    told = kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"]
    sealed = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    assert sealed["KeyMaterialId"] == told
    kms.rotate_key_on_demand(KeyId=key)
    assert kms.describe_key(KeyId=key)["KeyMetadata"]["CurrentKeyMaterialId"] != told
    kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"])
    with pytest.raises(ClientError) as caught:
        kms.decrypt(CiphertextBlob=sealed["CiphertextBlob"], EncryptionContext={"a": "b"})
    assert "message" not in caught.value.response  # no text, no member
    for _ in range(24):
        kms.rotate_key_on_demand(KeyId=key)
    code, text, _ = refused(kms.rotate_key_on_demand, KeyId=key)
    assert (code, text.endswith(key)) == ("LimitExceededException", True)
    assert refused(kms.generate_random)[1] == "NumberOfBytes is required."
    many = [{"TagKey": f"k{i}", "TagValue": "v"} for i in range(51)]
    assert refused(kms.create_key, Tags=many)[:2] == ("TagException", "Too many tags")
