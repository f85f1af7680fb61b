"""Code and layer zips, unpacked safely and kept by digest for the workers to mount read-only.

Hostile input: names that climb out, links that point out, bombs, encrypted or damaged archives.
The cache can be made again from the blobs at any time, so nobody waits for its disk: a tree is used
at once, and believed by the next process only if a mark says that all of it had reached the disk.
"""

from __future__ import annotations

import hashlib
import logging
import os
import shutil
import stat
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from pileus.errors import AwsError
from pileus.runtime.function import UNZIPPED_BYTES_MAX, Code
from pileus.runtime.kernel import sync_filesystem

log = logging.getLogger("pileus.runtime.code")
ENTRIES_MAX = 100_000
NAME_BYTES_MAX = 4096
DEPTH_MAX = 64
CHUNK_BYTES = 1024 * 1024
_BAD_ARCHIVE = (
    *(zipfile.BadZipFile, zlib.error, EOFError, OSError),
    *(ValueError, NotImplementedError, RuntimeError),  # odd names, methods, encrypted entries
)
CACHE_BYTES_MAX = 8 * 1024**3
TREES, WHOLE = ("c-", "l-"), ".whole"


def invalid(message: str) -> AwsError:
    return AwsError("InvalidParameterValueException", message, 400)


def broken() -> AwsError:
    return invalid(
        "Could not unzip uploaded file. Please check your file, then try to upload again."
    )


def too_large(limit: int) -> AwsError:
    return invalid(f"Unzipped size must be smaller than {limit} bytes")


def inspect(path: Path | str, limit_bytes: int = UNZIPPED_BYTES_MAX) -> int:
    """Check a zip whole (directory, links, every entry's checksum) and answer its unpacked size.
    Raises AWS's InvalidParameterValueException, so that a bad package is refused when it is
    uploaded and not at its first run. Reads as many bytes as it unpacks to: call it on a thread."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = _check(archive, limit_bytes)
            for entry in archive.infolist():
                if stat.S_ISLNK(entry.external_attr >> 16):
                    _link_goal(archive, entry, _inside(entry.filename))
            if archive.testzip() is not None:
                raise broken()
            return size
    except _BAD_ARCHIVE as e:
        raise broken() from e


def unpack(path: Path | str, folder: Path, limit_bytes: int = UNZIPPED_BYTES_MAX) -> int:
    """Write the archive's tree into ``folder`` (made if needed; later archives overwrite
    earlier files). Answers the bytes written; raises AWS's InvalidParameterValueException."""
    try:
        with zipfile.ZipFile(path) as archive:
            _check(archive, limit_bytes)
            folder.mkdir(parents=True, exist_ok=True)
            return _write_all(archive, folder, limit_bytes)
    except _BAD_ARCHIVE as e:
        if isinstance(e, OSError) and e.errno in (28, 122):  # disk full, quota
            raise
        raise broken() from e


def _check(archive: zipfile.ZipFile, limit_bytes: int) -> int:
    entries = archive.infolist()
    if len(entries) > ENTRIES_MAX:
        raise invalid(f"The archive holds more than {ENTRIES_MAX} entries")
    for entry in entries:
        _inside(entry.filename)
    size = sum(entry.file_size for entry in entries)
    if size > limit_bytes:
        raise too_large(limit_bytes)
    return size


def _inside(name: str) -> PurePosixPath:
    """The entry's path below the root, or the refusal of one that leaves it."""
    path = PurePosixPath(name)
    plain = not name.startswith("/") and "\\" not in name and "\0" not in name
    if not plain or ".." in path.parts or len(name) > NAME_BYTES_MAX:
        raise invalid(f"The archive holds an entry outside its root: {name[:200]!r}")
    if len(path.parts) > DEPTH_MAX:
        raise invalid("The archive's folders are nested too deeply")
    return path


def _write_all(archive: zipfile.ZipFile, root: Path, limit_bytes: int) -> int:
    written = 0
    links: list[tuple[PurePosixPath, str]] = []
    known: set[PurePosixPath] = set()
    for entry in archive.infolist():
        path = _inside(entry.filename)
        mode = entry.external_attr >> 16
        if not path.parts:
            continue
        target = root / path
        if entry.is_dir():
            _make_folder(root, path, known)
        elif stat.S_ISLNK(mode):
            links.append((path, _link_goal(archive, entry, path)))
        else:
            _make_folder(root, path.parent, known)
            written += _write_file(archive, entry, target, limit_bytes - written)
            target.chmod(0o755 if mode & 0o111 else 0o644)
    for path, goal in links:  # last, so that no file is ever written through one
        target = root / path
        _make_folder(root, path.parent, set())
        target.unlink(missing_ok=True)
        target.symlink_to(goal)
    return written


def _make_folder(root: Path, path: PurePosixPath, known: set[PurePosixPath]) -> None:
    """``mkdir -p`` that never walks through a link: an earlier archive may have put one there."""
    if path in known or not path.parts:
        return
    _make_folder(root, path.parent, known)
    target = root / path
    if target.is_symlink():
        raise invalid(f"The archive holds an entry below a link: {str(path)!r}")
    target.mkdir(exist_ok=True)
    known.add(path)


def _link_goal(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: PurePosixPath) -> str:
    if entry.file_size > NAME_BYTES_MAX:
        raise broken()
    goal = archive.read(entry).decode()
    end = os.path.normpath(os.path.join(*path.parts[:-1], goal))
    if goal.startswith("/") or "\0" in goal or not goal or end.split("/")[0] == "..":
        raise invalid(f"The archive holds a link that points outside its root: {str(path)!r}")
    return goal


def _write_file(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, room_bytes: int
) -> int:
    target.unlink(missing_ok=True)
    written = 0
    with archive.open(entry) as source, target.open("xb") as sink:
        while chunk := source.read(CHUNK_BYTES):
            written += len(chunk)
            if written > room_bytes:
                raise too_large(UNZIPPED_BYTES_MAX)
            sink.write(chunk)
    return written


def folder_names(code: Code, layers: Sequence[Code]) -> tuple[str, str]:
    """The cache's names for a function's code and its layers in this order."""
    digests = "".join(layer.digest for layer in layers)
    layer_name = f"l-{hashlib.sha256(digests.encode()).hexdigest()}" if layers else ""
    return f"c-{code.digest}", layer_name


def on_a_thread(work: Callable[[], None]) -> None:
    """Do ``work`` beside what goes on."""
    threading.Thread(target=work, name="code to disk", daemon=True).start()


class CodeCache:
    """Unpacked trees under ``folder``: ``c-DIGEST`` for code, ``l-DIGEST`` for merged layers, each
    with an empty ``NAME.whole`` beside it once it is on the disk. ``later`` does that. Safe to use
    from several threads."""

    def __init__(
        self,
        folder: Path,
        bytes_max: int = CACHE_BYTES_MAX,
        later: Callable[[Callable[[], None]], None] = on_a_thread,
    ) -> None:
        self._folder = folder
        self._max = bytes_max
        self._later = later
        self._lock = threading.Lock()
        self._sizes: dict[str, int] = {}  # oldest use first
        self._made: dict[str, object] = {}  # not on the disk yet, as far as is known
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o755)
        for entry in sorted(folder.iterdir(), key=lambda p: p.lstat().st_mtime):
            if entry.name.startswith(TREES) and self._mark(entry.name).exists():
                self._sizes[entry.name] = _tree_bytes(entry)
            elif not (entry.name.endswith(WHOLE) and (folder / entry.stem).is_dir()):
                _remove(entry)

    def _mark(self, name: str) -> Path:
        return self._folder / f"{name}{WHOLE}"

    def ensure(self, code: Code, layers: Sequence[Code]) -> tuple[str, str]:
        """Unpack what is missing; answer the folder names of the code and of the merged layers
        ('' without layers)."""
        code_name, layer_name = folder_names(code, layers)
        with self._lock:
            self._have(code_name, [code], UNZIPPED_BYTES_MAX)
            if layers:
                self._have(layer_name, layers, UNZIPPED_BYTES_MAX)
                if self._sizes[code_name] + self._sizes[layer_name] > UNZIPPED_BYTES_MAX:
                    raise invalid(
                        "Function code combined with layers exceeds the maximum allowed size of"
                        f" {UNZIPPED_BYTES_MAX} bytes."
                    )
        return code_name, layer_name

    def ready(self, code: Code, layers: Sequence[Code]) -> tuple[str, str] | None:
        """As ``ensure``, when nothing is missing: does not wait and touches no archive."""
        names = folder_names(code, layers)
        return names if all(n in self._sizes for n in names if n) else None

    def _have(self, name: str, archives: Sequence[Code], limit: int) -> str:
        size = self._sizes.pop(name, -1)
        if size < 0 or not (self._folder / name).is_dir():
            size = self._make(name, archives, limit)
        self._sizes[name] = size
        os.utime(self._folder / name)
        return name

    def _make(self, name: str, archives: Sequence[Code], limit: int) -> int:
        building = Path(tempfile.mkdtemp(prefix="new-", dir=self._folder))
        try:
            building.chmod(0o755)
            size = 0
            for archive in archives:
                size += unpack(archive.path, building, limit - size)
            self._mark(name).unlink(missing_ok=True)
            building.rename(self._folder / name)
        except BaseException:
            shutil.rmtree(building, ignore_errors=True)
            raise
        made = self._made[name] = object()
        self._later(lambda: self._keep(name, made))
        return size

    def _keep(self, name: str, made: object) -> None:
        """Bring the tree to the disk, then say so. Without privileges or room it stays unsaid."""
        try:
            sync_filesystem(self._folder)
            with self._lock:
                if self._made.get(name) is made:
                    del self._made[name]
                    self._mark(name).touch()
        except OSError as error:
            log.info("code is unpacked again at the next start: %s", error)

    def trim(self, in_use: set[str]) -> None:
        """Drop the trees unused for longest until the cache is below its size."""
        with self._lock:
            total = sum(self._sizes.values())
            for name in [n for n in self._sizes if n not in in_use]:
                if total <= self._max:
                    return
                total -= self._sizes.pop(name)
                self._made.pop(name, None)
                self._mark(name).unlink(missing_ok=True)
                gone = Path(tempfile.mkdtemp(prefix="old-", dir=self._folder))
                (self._folder / name).rename(gone)  # else half of it might be believed
                shutil.rmtree(gone, ignore_errors=True)


def _remove(entry: Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry, ignore_errors=True)
    else:
        entry.unlink(missing_ok=True)


def _tree_bytes(folder: Path) -> int:
    return sum(
        os.lstat(os.path.join(base, name)).st_size
        for base, _, names in os.walk(folder)
        for name in names
    )
