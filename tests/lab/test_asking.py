"""What can be known from an answer: only a verdict says that there was no effect."""

from __future__ import annotations

from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from lab.history.asking import Refused, ask
from lab.history.records import AnswerLost, NoEffect


def verdict(code: str, status: int) -> ClientError:
    told: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(told, "PutObject")


@pytest.mark.parametrize(
    ("error", "once", "often"),
    [
        (verdict("SlowDown", 503), AnswerLost, AnswerLost),
        (verdict("ServiceUnavailable", 503), AnswerLost, AnswerLost),
        (verdict("ServiceUnavailableException", 503), AnswerLost, AnswerLost),
        (verdict("InternalError", 500), AnswerLost, AnswerLost),
        (verdict("ThrottlingException", 400), NoEffect, AnswerLost),
        (verdict("PreconditionFailed", 412), Refused, Refused),
        (EndpointConnectionError(endpoint_url="a"), NoEffect, AnswerLost),
        (ConnectionClosedError(endpoint_url="a"), AnswerLost, AnswerLost),
    ],
)
def test_what_an_error_says(error: Exception, once: type, often: type) -> None:
    class Client:
        def put_object(self, **params: Any) -> Any:
            raise error

    for tries, wanted in ((1, once), (6, often)):
        with pytest.raises(wanted):
            ask(Client(), "PutObject", {}, tries)
