"""Which Python `make setup` builds the environment with: ``python3 choose_python.py`` prints a path.

The first that `python3` and its like mean, of a release the lock file has wheels for, that can make
environments. One whose interpreter lies in a shared library (pyenv and many hand-made ones) is
taken only where there is no other: the same release is a fifth slower that way, and every request
runs through it. ``make setup PYTHON=…`` chooses otherwise.
"""

from __future__ import annotations

import shutil
import subprocess
import sys

NAMES = ("python3", "/usr/bin/python3", "python3.13", "python3.12", "python3.11")
OLDEST, NEWEST = (3, 11), (3, 13)
PROBE = f"""
import ensurepip, pathlib, ssl, sys, venv
if not {OLDEST} <= sys.version_info[:2] <= {NEWEST}:
    sys.exit(1)
maps = pathlib.Path("/proc/self/maps")
print("shared" if maps.exists() and "/libpython" in maps.read_text() else "own")
"""


def kind(python: str) -> str:
    """``own``, ``shared``, or "" where this Python will not do."""
    told = subprocess.run([python, "-c", PROBE], capture_output=True, text=True, check=False)
    return told.stdout.strip() if told.returncode == 0 else ""


def main() -> int:
    """Print the choice; an error in words when there is none."""
    paths = dict.fromkeys(p for p in map(shutil.which, NAMES) if p)
    kinds = {path: found for path in paths if (found := kind(path))}
    if not kinds:
        print("Pileus needs Python 3.11 to 3.13 with venv (Debian: python3-venv)", file=sys.stderr)
        return 1
    print(min(kinds, key=lambda path: kinds[path] == "shared"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
