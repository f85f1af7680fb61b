"""botocore's model files, as small in memory as they can be read."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from sys import intern
from typing import Any

OPENED_BY: dict[str, Callable[..., Any]] = {".json": open, ".json.gz": gzip.open}

NAME_LENGTH_MAX = 64  # texts up to here are names, told over and over


class ModelFiles:
    """For botocore's ``Loader``, instead of its ``JSONFileLoader``: plain dicts, which keep their
    order too and take half of an ``OrderedDict``'s memory, each text once, and none for
    ``documentation``. A path is a file's without its extension.
    https://botocore.amazonaws.com/v1/documentation/api/latest/reference/loaders.html
    """

    def exists(self, file_path: str) -> bool:
        """Is there such a file?"""
        return any(Path(file_path + extension).is_file() for extension in OPENED_BY)

    def load_file(self, file_path: str) -> Any:
        """What it holds; None where there is none."""
        for extension, opened in OPENED_BY.items():
            try:
                with opened(file_path + extension, "rb") as file:
                    return json.load(file, object_pairs_hook=_without_texts)
            except FileNotFoundError:
                continue
        return None


def _without_texts(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A member or a shape may have that name as well: it is a dict then, and stays. The text must
    be there: botocore asks those of a client's parameters for it (S3's)."""
    made = dict(pairs)
    for name, told in pairs:
        if type(told) is str and len(told) <= NAME_LENGTH_MAX:
            made[name] = intern(told)
    if isinstance(made.get("documentation"), str):
        made["documentation"] = ""
    return made
