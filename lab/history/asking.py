"""One request to an AWS-shaped endpoint, and what can be known from its answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from botocore import xform_name
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
)

from lab.history.records import AnswerLost, NoEffect

# Verdicts outside the model: certainly without effect, when it was the only try. The last two are
# a server's whose clock is wrong. S3's SlowDown is none of them: it was seen said of writes
# under way, too.
UNTOUCHED = (
    *("TransactionConflictException", "ConditionalRequestConflict", "ThrottlingException"),
    *(
        "ProvisionedThroughputExceededException",
        "InvalidSignatureException",
        "RequestTimeTooSkewed",
    ),
)


PATIENCE_S = 150.0
T = TypeVar("T")


class Misshapen(Exception):
    """An error without a code: no answer of an AWS-shaped endpoint."""


class Refused(Exception):
    """A verdict against the request. ``found``: the item that was there, where the error tells."""

    def __init__(self, code: str, found: Any = None) -> None:
        super().__init__(code)
        self.code, self.found = code, found


def ask(client: Any, operation: str, params: dict[str, Any], tries: int) -> Any:
    """The answer of ``operation`` by a boto3 client that tries ``tries`` times in all.

    Raises ``Refused``, ``AnswerLost`` where it cannot be known whether there was an effect,
    ``NoEffect`` where there was certainly none. ``Misshapen``: a finding, whatever was asked.
    """
    try:
        answer = getattr(client, xform_name(operation))(**params)
        if operation == "GetObject":
            answer["Body"] = answer["Body"].read()
        return answer
    except ClientError as error:
        code = shaped(error)
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if code in UNTOUCHED and tries == 1:
            raise NoEffect from error
        if code in UNTOUCHED or status >= 500:
            raise AnswerLost from error
        raise Refused(code, error.response.get("Item")) from error
    except (ConnectTimeoutError, EndpointConnectionError) as error:
        raise (NoEffect if tries == 1 else AnswerLost) from error
    except BotoCoreError as error:
        raise AnswerLost from error


def shaped(error: ClientError) -> str:
    """The code of an error; ``Misshapen`` where there is none but the HTTP status."""
    code = str(error.response["Error"].get("Code", ""))
    if not code or code.isdigit():
        raise Misshapen(f"{error.operation_name}: {error.response}") from error
    return code


def patiently(call: Callable[[], T], seconds_max: float = PATIENCE_S) -> T:
    """What ``call`` answers, asked again as long as answers are lost or say "not now"; then the
    last error."""
    deadline = time.monotonic() + seconds_max
    while True:
        try:
            return call()
        except (AnswerLost, NoEffect, BotoCoreError) as error:
            lost: Exception = error
        except ClientError as error:
            status = error.response["ResponseMetadata"]["HTTPStatusCode"]
            if shaped(error) not in UNTOUCHED and status < 500:
                raise
            lost = error
        if time.monotonic() > deadline:
            raise lost
        time.sleep(0.5)
