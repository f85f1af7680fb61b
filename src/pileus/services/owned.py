"""What an account has in a region, by name: the place it stands in and the ARN it is known by.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference-arns.html
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


def place_of(account: str, region: str) -> str:
    """The partition of its rows: all names in it are told apart."""
    return f"{account}/{region}"


def parted(where: str) -> tuple[str, str]:
    """The account and the region of a place."""
    account, _, region = where.partition("/")
    return account, region


@dataclass(frozen=True, slots=True)
class Owned:
    """``SERVICE``: whose kind of thing it is; ``KIND``: what stands before the name in its ARN."""

    SERVICE: ClassVar[str]
    KIND: ClassVar[str] = ""

    account: str
    region: str
    name: str

    @property
    def place(self) -> str:
        return place_of(self.account, self.region)

    @property
    def arn(self) -> str:
        return f"arn:aws:{self.SERVICE}:{self.region}:{self.account}:{self.KIND}{self.name}"
