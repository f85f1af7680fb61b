"""What a store of objects offers the door for requests without any header that changes the answer.

``Service.objects`` is one of these. S3's is ``pileus.services.s3.plain``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from pileus.services.call import Access, FileBody, HttpRequest, HttpResponse, Principal, Submission

# The lines and the bytes of a key's object; None: it is not so plain, or there is none.
ReadPlain = Callable[[bytes], "bytes | None"]

# Stores a small body under a key. Told also the checksum it must have (b"": none) and the write's
# id; what is called with the version's id (None: none) or the error. Answers the answer's header
# lines, None where the body has another checksum, or the key is too long.
StorePlain = Callable[
    [str, bytes, bytes, bytes, Callable[[Any, Exception | None], None]], "bytes | None"
]


class PlainBucket(Protocol):
    """A bucket as it is to one caller, where all its objects are alike. ``labels`` name it to
    whoever counts."""

    @property
    def labels(self) -> dict[str, str]: ...

    def access(self, action: str) -> Access:
        """The permission for all its objects: the resource is what their ARNs start with."""
        ...


class Told(NamedTuple):
    """What the headers of a write tell: those to keep, and the algorithm of a checksum ("": the
    store's own)."""

    kept: dict[str, str]
    algorithm: str


class PlainObjects(Protocol):
    """What a store of objects offers for requests without any header that changes the answer.
    None: the request is not so plain, it goes the usual way. Answers lack their request ids."""

    changes: Callable[[], int]  # grows when a bucket or a setting of one changes
    bytes_max: int  # of a body that ``put`` takes

    def bucket(self, name: str, principal: Principal) -> PlainBucket | None: ...
    def get(self, bucket: Any, key: str, head: bool, checked: bool) -> HttpResponse | None:
        """The object, or (``head``) what is told of it; ``checked``: with its checksums."""
        ...

    def put(
        self,
        bucket: Any,
        key: str,
        request: HttpRequest,
        principal: Principal,
        invocation_id: bytes,
    ) -> Submission | None: ...

    # The same for requests whose heads are known: less is looked at, less is made.
    def small(
        self, bucket: Any, key: bytes, checked: bool
    ) -> tuple[bytes, bytes | FileBody] | None:
        """Header lines and bytes of an object that lies in its row, or open in memory."""
        ...

    def sized(self, bucket: Any, key: bytes, checked: bool) -> tuple[bytes, int] | None:
        """Header lines and size of an object."""
        ...

    def reading(
        self, bucket: Any, checked: bool, looks: bool, plain: Callable[[bytes], Any]
    ) -> ReadPlain:
        """How objects are read by one who may; a key is one only where ``plain`` says so.
        ``looks``: no bytes (HEAD). What is read is the end of an answer: the last header lines, an
        empty one, the bytes."""
        ...

    def told(self, headers: dict[str, str]) -> Told | None:
        """What a write's headers tell; None where they tell more of its body than a checksum."""
        ...

    def storing(self, bucket: Any, told: Any) -> StorePlain | None:
        """How small bodies are stored under headers that tell ``told``, by one who may. None: not
        yet."""
        ...
