"""A service as the door sees it: what each ``build(parts)`` answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pileus.services.call import Access, Call, HttpRequest, HttpResponse, Swift
from pileus.services.plain_objects import PlainObjects


class Watch(Protocol):
    """Sees one request's answer before it is sent, an error's too, and may add to its headers.
    ``call`` is set when the caller is known and the parameters are read."""

    call: Call | None

    def answered(self, response: HttpResponse) -> None: ...


Answer = dict[str, Any] | HttpResponse | None
Operation = Callable[[Call], "Answer | Awaitable[Answer]"]
DirectOperation = Callable[[Call], "HttpResponse | Awaitable[HttpResponse]"]


@dataclass(slots=True)
class Service:
    """One AWS service as the door sees it.

    ``name``: botocore's service name (``lambda``). ``operations``: model-driven; they get parsed
    ``params`` and answer a dict in the output shape (or an ``HttpResponse`` to take over).
    ``direct``: hot operations that read ``call.request`` themselves and answer an
    ``HttpResponse``. ``access`` names the permissions a call needs; it runs before the
    operation. An operation in neither mapping answers an error that names it.
    ``single`` is a quick look at ``access``: (action, resource) of a call that needs just this
    permission and meets no resource policy; ``several`` the same of one that needs these; None:
    ask ``access``. ``swift`` is told a call that they know, and answers how more of its
    form are answered, if that is plain. ``objects``: see there.
    ``start`` and ``stop`` belong to each process. ``begin`` and ``cease`` are the work that one
    process of the whole cloud does for all (consumers, queues, sweeps of the state): called after
    ``start``, ended before ``stop``, and begun again when the work comes back to this process.
    ``watch`` is told a request, its raw path labels and the operation before anything is checked;
    what it answers sees the response. None: nobody cares about this one.
    """

    name: str
    operations: Mapping[str, Operation]
    access: Callable[[Call], Sequence[Access]]
    direct: Mapping[str, DirectOperation] = field(default_factory=dict)
    single: Callable[[Call], tuple[str, str] | None] | None = None
    several: Callable[[Call], Iterable[tuple[str, str]] | None] | None = None
    swift: Callable[[Call], Swift | None] | None = None
    objects: PlainObjects | None = None
    start: Callable[[], Awaitable[None]] | None = None
    stop: Callable[[], Awaitable[None]] | None = None
    begin: Callable[[], Awaitable[None]] | None = None
    cease: Callable[[], Awaitable[None]] | None = None
    watch: Callable[[HttpRequest, Mapping[str, str], str], Watch | None] | None = None
