"""GetKeyPolicy, PutKeyPolicy, ListKeyPolicies: who may use a key.

https://docs.aws.amazon.com/kms/latest/developerguide/key-policies.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy.decide import Caller, Policies, decide
from pileus.policy.document import Malformed, compile_document
from pileus.policy.principals import root_arn
from pileus.services.call import Call
from pileus.services.kms import faults
from pileus.services.kms.room import Room, check_alive

POLICY_BYTES_MAX = 32 * 1024
NAME = "default"


def default_policy(account: str) -> str:
    """The account decides by its identities' policies."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": root_arn(account)},
        "Action": "kms:*",
        "Resource": "*",
    }
    document = {"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}
    return orjson.dumps(document).decode()


def check_policy(call: Call, text: str, bypass: bool | None) -> None:
    """``MalformedPolicyDocumentException`` for what is no policy, or one under which its author
    could never change it again."""
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise AwsError("LimitExceededException", "The key policy is larger than 32 KB.")
    try:
        document = orjson.loads(text)
        statements = compile_document(document)
    except (orjson.JSONDecodeError, Malformed, TypeError, AttributeError, KeyError) as error:
        raise malformed(f"The policy document is not valid: {error}") from error
    if not isinstance(document, dict) or not document.get("Statement"):
        raise malformed("Policy is missing required 'Statement' block")
    if bypass:
        return
    arns = (call.principal.arn, root_arn(call.account))
    caller = Caller("root", call.account, arns)
    asked = ("kms:PutKeyPolicy", "*", {"kms:calleraccount": call.account})
    if not decide(caller, Policies(), *asked, statements, call.account).allowed:
        raise malformed(
            "The new key policy will not allow you to update the key policy in the future."
        )


def malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicyDocumentException", message)


def _check_name(params: dict[str, Any]) -> None:
    if params.get("PolicyName") not in (None, NAME):
        raise faults.not_found("No such policy exists")


def get_policy(room: Room, call: Call) -> dict[str, Any]:
    _check_name(call.params)
    key = room.find(call, call.params["KeyId"], aliases=False)
    return {"Policy": key.record["policy"], "PolicyName": NAME}


async def put_policy(room: Room, call: Call) -> None:
    _check_name(call.params)
    key = room.find(call, call.params["KeyId"], aliases=False)
    if key.managed:
        raise faults.managed(key.arn)
    check_alive(key)
    text = call.params["Policy"]
    check_policy(call, text, call.params.get("BypassPolicyLockoutSafetyCheck"))
    await room.edit(call, key, lambda record: record.update(policy=text))


def list_policies(room: Room, call: Call) -> dict[str, Any]:
    room.find(call, call.params["KeyId"], aliases=False)
    return {"PolicyNames": [NAME], "Truncated": False}
