"""What every answer of a bucket carries, errors too: cross-origin headers, who was charged; and a
line for the access log.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from pileus.errors import AwsError
from pileus.services.call import Call, HttpRequest, HttpResponse
from pileus.services.s3.access_log import Journal
from pileus.services.s3.cors import cors_headers
from pileus.services.s3.requester import charged
from pileus.services.s3.room import Bucket, Room


class Watch:
    """One request to a bucket; ``call`` is None where its caller was not recognised."""

    __slots__ = ("_bucket", "_journal", "_operation", "_request", "_started_ms", "call")

    def __init__(
        self, room: Room, journal: Journal, bucket: Bucket, request: HttpRequest, operation: str
    ) -> None:
        self.call: Call | None = None
        self._bucket, self._request, self._operation = bucket, request, operation
        self._journal = journal
        self._started_ms = room.clock.now_ms()

    def answered(self, response: HttpResponse) -> None:
        request, bucket = self._request, self._bucket
        if request.headers.get("origin") and self._operation != "PreflightRequest":
            response.headers = [*response.headers, *cors_headers(bucket, request)]
        if self.call is not None and charged(bucket, self.call) and response.status < 400:
            response.headers = [*response.headers, ("x-amz-request-charged", "requester")]
        if "logging" in bucket.settings:
            self._journal.note(
                bucket, request, self._operation, self.call, response, self._started_ms
            )


def watch(
    room: Room,
    journal: Journal,
    request: HttpRequest,
    labels: Mapping[str, str],
    operation: str,
) -> Watch | None:
    """A watch where somebody cares: a browser from elsewhere, a logged bucket, a requester who
    pays."""
    name = labels.get("Bucket")
    if not name or ("origin" not in request.headers and name not in room.watched()):
        return None
    try:
        bucket = room.bucket(unquote(name))
    except AwsError:
        return None  # the operation says what is wrong
    return Watch(room, journal, bucket, request, operation)
