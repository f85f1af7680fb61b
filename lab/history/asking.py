"""One request to an AWS-shaped endpoint, and what can be known from its answer."""

from __future__ import annotations

from typing import Any

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


class Refused(Exception):
    """A verdict against the request. ``found``: the item that was there, where the error tells."""

    def __init__(self, code: str, found: Any = None) -> None:
        super().__init__(code)
        self.code, self.found = code, found


def ask(client: Any, operation: str, params: dict[str, Any], tries: int) -> Any:
    """The answer of ``operation`` by a boto3 client that tries ``tries`` times in all.

    Raises ``Refused``, ``AnswerLost`` where it cannot be known whether there was an effect,
    ``NoEffect`` where there was certainly none.
    """
    try:
        answer = getattr(client, xform_name(operation))(**params)
        if operation == "GetObject":
            answer["Body"] = answer["Body"].read()
        return answer
    except ClientError as error:
        code = error.response["Error"]["Code"]
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
