"""The context object a Python handler gets, and the error objects it makes.

Members as in "Using the Lambda context object to retrieve Python function information".
"""

from __future__ import annotations

import json
import os
import sys
import time
from typing import Any


class Fault(Exception):
    """An error of the function's packaging or values, named by ``kind`` (``Runtime.…``)."""

    def __init__(self, kind: str, message: str, trace: list[str] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.trace = trace or []


def error_object(message: str, kind: str, trace: list[str], request_id: str) -> dict[str, Any]:
    return {
        "errorMessage": message,
        "errorType": kind,
        "requestId": request_id,
        "stackTrace": trace,
    }


class CognitoIdentity:
    __slots__ = ["cognito_identity_id", "cognito_identity_pool_id"]


class Client:
    __slots__ = [
        "app_package_name",
        "app_title",
        "app_version_code",
        "app_version_name",
        "installation_id",
    ]


class ClientContext:
    __slots__ = ["client", "custom", "env"]


def _fill(kind: type, values: dict[str, Any]) -> Any:
    made = kind()
    for name in kind.__slots__:  # type: ignore[attr-defined]
        setattr(made, name, values.get(name))
    return made


def _parse(text: str, what: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
        if not isinstance(value, dict):
            raise ValueError("not an object")
        return value
    except ValueError as e:
        raise Fault("Runtime.LambdaContextUnmarshalError", f"Unable to parse {what} JSON: {e}")


class LambdaContext:
    """What the second argument of a handler offers."""

    def __init__(
        self,
        request_id: str,
        deadline_ms: int,
        invoked_arn: str,
        trace_id: str,
        client_context: str | None,
        identity: str | None,
    ) -> None:
        env = os.environ.get
        self.aws_request_id = request_id
        self.log_group_name = env("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = env("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = env("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = env("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = invoked_arn
        self.tenant_id = None
        self.client_context = self._client(client_context) if client_context else None
        self.identity = self._identity(identity)
        self._epoch_deadline_time_in_ms = deadline_ms

    @staticmethod
    def _client(text: str) -> Any:
        values = _parse(text, "Client Context")
        made = _fill(ClientContext, values)
        if isinstance(values.get("client"), dict):
            made.client = _fill(Client, values["client"])
        return made

    @staticmethod
    def _identity(text: str | None) -> Any:
        values = _parse(text, "Cognito Identity") if text else {}
        made = CognitoIdentity()
        made.cognito_identity_id = values.get("cognitoIdentityId")  # type: ignore[attr-defined]
        made.cognito_identity_pool_id = values.get("cognitoIdentityPoolId")  # type: ignore[attr-defined]
        return made

    def get_remaining_time_in_millis(self) -> int:
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, message: object) -> None:
        sys.stdout.write(str(message))

    def __repr__(self) -> str:
        members = ",".join(f"{k}={v}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"LambdaContext([{members}])"
