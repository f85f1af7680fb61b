"""Compressed objects, a megabyte at a time, whatever they hold: no object can fill the memory."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Protocol

import zstandard

BLOCK_BYTES = 1024 * 1024
GZIP = 31  # zlib's word for a gzip head and tail
# Four bytes of Zstandard can stand for 128 KB: this many give 16 MB at most.
ZSTD_BYTES = 512
WINDOW_BYTES_MAX = 64 * 1024 * 1024


class Malformed(Exception):
    """What is left of an object cannot be read, and why."""


class Unpacker(Protocol):
    """Takes an object's bytes in order; ``end`` says when it is not whole."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...
    def end(self) -> None: ...


class Plain:
    """Not compressed."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        for at in range(0, len(data), BLOCK_BYTES):
            yield data[at : at + BLOCK_BYTES]

    def end(self) -> None:
        return


class Gzip:
    """RFC 1952, several members too."""

    def __init__(self) -> None:
        self._open = zlib.decompressobj(GZIP)
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        try:
            while data:
                self._begun = True
                yield self._open.decompress(data, BLOCK_BYTES)
                data = self._open.unconsumed_tail
                if self._open.eof:
                    data = self._open.unused_data
                    self._open = zlib.decompressobj(GZIP)
                    self._begun = False
        except zlib.error as error:
            raise Malformed(f"The object is not GZIP: {error}") from error

    def end(self) -> None:
        if self._begun:
            raise Malformed("The object is not whole: its GZIP data end too early")


class Zstd:
    """RFC 8878, several frames too."""

    def __init__(self) -> None:
        program = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
        self._renew = program.decompressobj
        self._open = self._renew()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        held, size = [], 0
        try:
            for at in range(0, len(data), ZSTD_BYTES):
                block = self._step(data[at : at + ZSTD_BYTES])
                held.append(block)
                size += len(block)
                if size >= BLOCK_BYTES:
                    yield b"".join(held)
                    held, size = [], 0
        except zstandard.ZstdError as error:
            raise Malformed(f"The object is not ZSTD: {error}") from error
        yield b"".join(held)

    def _step(self, data: bytes) -> bytes:
        out = b""
        while data:
            self._begun = True
            out += self._open.decompress(data)
            data = b""
            if self._open.eof:
                data = self._open.unused_data
                self._open = self._renew()
                self._begun = False
        return out

    def end(self) -> None:
        if self._begun:
            raise Malformed("The object is not whole: its ZSTD data end too early")


UNPACKERS: dict[str, type[Plain] | type[Gzip] | type[Zstd]] = {
    "NONE": Plain,
    "GZIP": Gzip,
    "ZSTD": Zstd,
}
