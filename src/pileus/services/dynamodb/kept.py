"""Answers kept while nothing they told can have changed: a read asked again costs a look-up.

An answer is kept by the body that asked for it, together with what the store's ``stamp`` of its
tables told before its rows were read. While the stamp tells the same, no write to them has been
acknowledged in any process, so the rows are still as they were. The first read after one forgets
all answers of its form. Bounded: clients choose what they ask for.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable
from typing import Any

BYTES_MAX = 4 * 1024 * 1024  # of one process
ANSWER_BYTES_MAX = 16 * 1024
ENTRY_BYTES = 200  # what one costs beside its bytes
Read = Callable[[bytes], "bytes | None"]


class KeptAnswers:
    """The answers of one process, by form."""

    def __init__(self) -> None:
        self._forms: list[dict[bytes, bytes]] = []
        self._bytes = 0  # kept since all of it was forgotten

    def keeping(self, read: Read, stamp: Callable[[], Any]) -> Read:
        """``read`` with its answers whole (``tail``), kept while ``stamp`` tells the same."""
        answers: dict[bytes, bytes] = {}
        self._forms.append(answers)
        get, keep = answers.get, self._keep
        held: Any = None

        def known(body: bytes) -> bytes | None:
            nonlocal held
            now = stamp()  # before the rows are read
            if now == held:
                told = get(body)
                if told is not None:
                    return told
            else:
                answers.clear()
                held = now
            text = read(body)
            if text is None:
                return None
            told = tail(text)
            keep(answers, body, told)
            return told

        return known

    def _keep(self, answers: dict[bytes, bytes], body: bytes, told: bytes) -> None:
        if len(told) > ANSWER_BYTES_MAX:
            return
        size = len(body) + len(told) + ENTRY_BYTES
        self._bytes += size
        if self._bytes > BYTES_MAX:
            for form in self._forms:
                form.clear()
            self._bytes = size
        answers[body] = told

    def forget(self) -> None:
        """The forms are no longer in use."""
        for form in self._forms:
            form.clear()
        self._forms.clear()
        self._bytes = 0


def tail(body: bytes) -> bytes:
    """An answer's body, and before it the lines that follow from it."""
    return b"x-amz-crc32: %d\r\ncontent-length: %d\r\n\r\n%b" % (crc32(body), len(body), body)
