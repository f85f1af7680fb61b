"""Answers kept while nothing they told can have changed: a read asked again costs a look-up.

An answer is kept by the body that asked for it, together with what the counter of its row, or of
its rows' partition, told before they were read. While that tells the same, no write to them has
been acknowledged in any process, so they are still as they were, whatever was written elsewhere in
their table. Where the form's ``stamp`` moves (the table is described otherwise, a transaction of
several shards is decided) all its answers go. Bounded: clients choose what they ask for.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable
from typing import Any, NamedTuple

from pileus.state import keys
from pileus.state.store import Store

BYTES_MAX = 8 * 1024 * 1024  # of one process
ANSWER_BYTES_MAX = 16 * 1024
ENTRY_BYTES = 350  # what one costs beside its bytes
Read = Callable[[bytes], "bytes | None"]
Stretch = tuple[bytes, ...]  # a row's key, or the keys between which rows of one partition lie
Answers = dict[bytes, tuple[bytes, int, int]]  # by body: the answer, a counter, what it told


class Reading(NamedTuple):
    """How a form is read: ``where`` the rows lie that a body asks for (None: read it exactly), and
    what they ``tell`` (None likewise)."""

    where: Callable[[bytes], Stretch | None]
    tell: Callable[..., bytes | None]


class KeptAnswers:
    """The answers of one process, by form."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._forms: list[Answers] = []
        self._bytes = 0  # kept since all of it was forgotten

    def keeping(self, reading: Reading, stamp: Callable[[], Any]) -> Read:
        """Answers whole (``tail``), kept while ``stamp`` and their rows' counter tell the same."""
        where, tell = reading
        answers: Answers = {}
        self._forms.append(answers)
        get, keep = answers.get, self._keep
        at, slot_of = self._store.at, self._store.row_slot
        held: Any = None

        def known(body: bytes) -> bytes | None:
            nonlocal held
            now = stamp()
            if now == held:
                kept = get(body)
                if kept is not None:
                    told, slot, seen = kept
                    if at(slot) == seen:
                        return told
            else:
                answers.clear()
                held = now
            stretch = where(body)
            if stretch is None:
                return None
            first = stretch[0]
            slot = slot_of(first if len(stretch) == 1 else keys.head(first))
            seen = at(slot)  # before the rows are read
            text = tell(*stretch)
            if text is None:
                return None
            told = tail(text)
            keep(answers, body, (told, slot, seen))
            return told

        return known

    def _keep(self, answers: Answers, body: bytes, kept: tuple[bytes, int, int]) -> None:
        if len(kept[0]) > ANSWER_BYTES_MAX:
            return
        size = len(body) + len(kept[0]) + ENTRY_BYTES
        before = answers.get(body)
        self._bytes += size if before is None else len(kept[0]) - len(before[0])
        if self._bytes > BYTES_MAX:
            self._clear()
            self._bytes = size
        answers[body] = kept

    def _clear(self) -> None:
        for form in self._forms:
            form.clear()

    def forget(self) -> None:
        """The forms are no longer in use."""
        self._clear()
        self._forms.clear()
        self._bytes = 0


def tail(body: bytes) -> bytes:
    """An answer's body, and before it the lines that follow from it."""
    return b"x-amz-crc32: %d\r\ncontent-length: %d\r\n\r\n%b" % (crc32(body), len(body), body)
