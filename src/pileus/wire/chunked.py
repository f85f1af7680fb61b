"""aws-chunked bodies: decoding, chunk signatures, trailers and their checksums.

S3 user guide, "Transferring payload in multiple chunks (chunked upload)" and "… including trailing
headers".
"""

from __future__ import annotations

import hmac
import re
from hashlib import sha256

from pileus.errors import AwsError
from pileus.services.checksums import SIZES, Running, encoded, new, raw_of
from pileus.wire import canonical
from pileus.wire.canonical import SigningKey
from pileus.wire.refusals import mismatch as signature_mismatch

LINE_MAX = 512
CHUNK_MIN = 8192  # bytes; S3 user guide: "at least 8 KB", but the last one
TRAILER_MAX = 8 * 1024
_SIZE = re.compile(rb"([0-9a-fA-F]{1,12})(?:;chunk-signature=([0-9a-f]{64}))?\Z")


def incomplete() -> AwsError:
    """Chunks that are malformed or end too early: S3 says the same of both."""
    return AwsError("IncompleteBody", "The request body terminated unexpectedly")


def other_length() -> AwsError:
    """Whole chunks, but not as many bytes as x-amz-decoded-content-length says."""
    return AwsError(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )


def too_small(number: int, size: int) -> AwsError:
    return AwsError(
        "InvalidChunkSizeError",
        f"Only the last chunk is allowed to have a size less than {CHUNK_MIN} bytes",
        fields={"Chunk": number, "BadChunkSize": size},
    )


def bad_trailer() -> AwsError:
    return AwsError(
        "MalformedTrailerError",
        "The request contained trailing data that was"
        " not well-formed or did not conform to our published schema.",
    )


class Chunked:
    """The chain of chunk signatures."""

    def __init__(self, key: SigningKey, date: str, scope: str, seed: str) -> None:
        self._key = key
        self._head = f"\n{date}\n{scope}\n"
        self.previous = seed

    def chunk(self, digest: str, signature: bytes) -> None:
        """Check one chunk. Raises SignatureDoesNotMatch."""
        self._check(
            f"AWS4-HMAC-SHA256-PAYLOAD{self._head}{self.previous}\n{canonical.EMPTY_SHA256}\n"
            f"{digest}",
            signature,
        )

    def trailer(self, text: bytes, signature: bytes) -> None:
        """Check the trailers (canonical lines)."""
        self._check(
            f"AWS4-HMAC-SHA256-TRAILER{self._head}{self.previous}\n{sha256(text).hexdigest()}",
            signature,
        )

    def _check(self, text: str, signature: bytes) -> None:
        wanted = self._key.sign(text.encode())
        if not hmac.compare_digest(wanted.encode(), signature):
            raise signature_mismatch("s3")
        self.previous = wanted


class ChunkDecoder:
    """Feed wire bytes, get body bytes. ``length`` is x-amz-decoded-content-length; ``marked``: the
    chunks carry signatures; ``trailer``: the announced trailing header (x-amz-checksum-…)."""

    def __init__(
        self,
        length: int,
        *,
        signer: Chunked | None,
        marked: bool,
        trailer: str,
        signed_trailer: bool,
    ) -> None:
        self.length = length
        self.trailers: dict[str, str] = {}
        self._signer = signer
        self._marked = marked
        self._trailer = trailer
        self._signed_trailer = signed_trailer
        self._algorithm = trailer.removeprefix("x-amz-checksum-").upper()
        if trailer and (self._algorithm not in SIZES or not trailer.startswith("x-amz-checksum-")):
            raise AwsError(
                "InvalidRequest", "The value specified in the x-amz-trailer header is not supported"
            )
        self._checksum: Running | None = new(self._algorithm) if trailer else None
        self._buffer = b""
        self._left = -1  # bytes left of this chunk, -1: at a size line, -2: in the trailers
        self._size = 0
        self._chunks = self._chunk = 0  # how many, and the last one's bytes
        self._digest = sha256()
        self._signature = b""
        self._done = False

    def feed(self, data: bytes) -> list[bytes]:
        """Decoded pieces. Raises ``AwsError``."""
        out: list[bytes] = []
        buffer = self._buffer + data if self._buffer else data
        at = 0
        while True:
            if self._left == -2:
                self._buffer = buffer[at:]
                if len(self._buffer) > TRAILER_MAX:
                    raise incomplete()
                return out
            if self._left == -1:
                end = buffer.find(b"\r\n", at)
                if end < 0:
                    if len(buffer) - at > LINE_MAX:
                        raise incomplete()
                    break
                self._start(buffer[at:end])
                at = end + 2
                continue
            if self._left > 0:
                piece = buffer[at : at + self._left]
                if not piece:
                    break
                at += len(piece)
                self._take(piece)
                out.append(piece)
                continue
            if len(buffer) - at < 2:
                break
            if buffer[at : at + 2] != b"\r\n":
                raise incomplete()
            at += 2
            self._end_chunk()
            self._left = -1
        self._buffer = buffer[at:]
        return out

    def _start(self, line: bytes) -> None:
        found = _SIZE.match(line)
        if found is None or (self._marked and found[2] is None):
            raise incomplete()
        self._signature = found[2] or b""
        self._left = int(found[1], 16)
        self._digest = sha256()
        self._size += self._left
        if self._size > self.length:
            raise other_length()
        if self._left == 0:
            self._end_chunk()
            self._left = -2
            return
        if self._chunks and self._chunk < CHUNK_MIN:
            raise too_small(self._chunks, self._chunk)
        self._chunks, self._chunk = self._chunks + 1, self._left

    def _take(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._signer is not None:
            self._digest.update(piece)
        if self._checksum is not None:
            self._checksum.update(piece)

    def _end_chunk(self) -> None:
        if self._signer is not None:
            self._signer.chunk(self._digest.hexdigest(), self._signature)

    def finish(self) -> None:
        """The last wire byte was fed: lengths, trailers and checksums must hold."""
        if self._left != -2:
            raise incomplete()
        if self._size != self.length:
            raise other_length()
        signature = b""
        canonical_lines = b""
        for line in self._buffer.split(b"\r\n"):
            name, mark, value = line.partition(b":")
            if not line:
                continue
            if not mark:
                raise bad_trailer()
            key = name.strip().lower()
            if key == b"x-amz-trailer-signature":
                signature = value.strip()
                continue
            canonical_lines += key + b":" + value.strip() + b"\n"
            self.trailers[key.decode("latin-1")] = value.strip().decode("latin-1")
        if self._signed_trailer and self._signer is not None:
            self._signer.trailer(canonical_lines, signature)
        self._check_trailers()

    def _check_trailers(self) -> None:
        if set(self.trailers) != ({self._trailer} if self._trailer else set()):
            raise bad_trailer()
        if self._checksum is None:
            return
        told = self.trailers[self._trailer]
        if raw_of(self._algorithm, told) is None:
            raise AwsError(
                "InvalidRequest", f"Value for {self._trailer} trailing header is invalid."
            )
        if encoded(self._checksum.digest()) != told:
            raise AwsError(
                "BadDigest",
                f"The {self._algorithm} you specified did not match the calculated checksum.",
            )
