"""The CRC of a whole from the CRCs of its parts (zlib's crc32_combine, generalised).

A CRC of a string followed by n zero bytes is a linear map over GF(2); maps are squared to reach n.
"""

from __future__ import annotations

import base64

# Reflected polynomials.
POLYNOMIALS = {
    "CRC32": (0xEDB88320, 32),
    "CRC32C": (0x82F63B78, 32),
    "CRC64NVME": (0x9A6C9329AC4BC9B5, 64),
}


def _times(matrix: list[int], vector: int) -> int:
    out, at = 0, 0
    while vector:
        if vector & 1:
            out ^= matrix[at]
        vector >>= 1
        at += 1
    return out


def _square(matrix: list[int]) -> list[int]:
    return [_times(matrix, column) for column in matrix]


class Combiner:
    """Adds parts one by one. Matrices are kept: parts of one upload mostly share a size."""

    def __init__(self, algorithm: str) -> None:
        polynomial, bits = POLYNOMIALS[algorithm]
        self._size = bits // 8
        one_bit = [polynomial, *(1 << i for i in range(bits - 1))]
        byte = _square(_square(_square(one_bit)))
        self._powers = [byte]
        self._value = 0

    def _shift(self, value: int, length: int) -> int:
        """The CRC register after ``length`` zero bytes."""
        at = 0
        while length:
            if at == len(self._powers):
                self._powers.append(_square(self._powers[-1]))
            if length & 1:
                value = _times(self._powers[at], value)
            length >>= 1
            at += 1
        return value

    def add(self, told: str, length: int) -> None:
        """The next part's CRC (base64) and size in bytes."""
        crc = int.from_bytes(base64.b64decode(told), "big")
        self._value = self._shift(self._value, length) ^ crc

    def text(self) -> str:
        return base64.b64encode(self._value.to_bytes(self._size, "big")).decode()
