"""The file system a worker sees: a small tmpfs with read-only binds of what runs code.

Built once, in the zygote's own mount namespace; each worker gets a copy of the mount tree and adds
its code, layers and ``/tmp``. Nothing of the host appears but programs and libraries: no home
directories, no data, no sockets, no devices beyond the harmless ones.
"""

from __future__ import annotations

import os
import site
import ssl
import stat
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pileus.runtime.kernel import (
    MS_BIND,
    MS_NODEV,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    MS_REMOUNT,
    Kernel,
)

DEVICES = ("null", "zero", "full", "random", "urandom")
ETC_BOUND = ("ld.so.cache", "alternatives", "ssl", "pki", "ca-certificates", "localtime")
# What AWS's Python runtimes carry beside the standard library.
PACKAGES = (
    "boto3", "botocore", "s3transfer", "jmespath", "dateutil", "urllib3", "six.py",
)  # fmt: skip
DIRECTORIES = (
    "dev", "etc", "proc", "tmp", "opt", "home", "run", "mnt/code",
    "var/task", "var/lang/bin", "var/runtime/node_modules", "var/runtime/client",
    "var/runtime/certificates", "var/tmp",
)  # fmt: skip
COVERED = ("/tmp", "/opt")  # what a worker mounts over; binds below must be made visible again


@dataclass(frozen=True)
class Contents:
    """What the root is made of. ``node`` is a Node.js binary or '', ``node_modules`` the
    directory of the AWS SDK's packages or ''; ``authority`` the PEM text of who vouches for TLS at
    the worker's own door."""

    code: Path
    node: str = ""
    node_modules: str = ""
    client: str = ""
    authority: str = ""


def build(kernel: Kernel, root: Path, contents: Contents) -> None:
    """Make ``root`` the root of this process's (already private) mount namespace."""
    kernel.mount("none", "/", None, MS_REC | MS_PRIVATE)
    kernel.mount("tmpfs", str(root), "tmpfs", MS_NOSUID | MS_NODEV, "size=8m,mode=0755")
    for name in DIRECTORIES:
        (root / name).mkdir(parents=True, exist_ok=True)
    _system(kernel, root)
    _etc(kernel, root)
    _devices(kernel, root)
    for path in sorted(python_paths()):
        _bind_at_same_place(kernel, root, path)
    kernel.bind_read_only(str(contents.code), str(root / "mnt/code"), MS_NODEV)
    _interpreter(root)
    _node(kernel, root, contents)
    _certificates(root, contents.authority)
    kernel.mount("/proc", str(root / "proc"), None, MS_BIND | MS_REC)
    _enter(kernel, root)


def _enter(kernel: Kernel, root: Path) -> None:
    (root / "mnt/old").mkdir()
    os.chdir(root)
    kernel.pivot_root(".", "mnt/old")
    kernel.umount("/mnt/old")
    os.chdir("/")
    os.rmdir("/mnt/old")
    kernel.mount("none", "/", None, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV)


def _system(kernel: Kernel, root: Path) -> None:
    (root / "usr").mkdir()
    kernel.bind_read_only("/usr", str(root / "usr"), MS_NODEV)
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        host = Path("/", name)
        if host.is_symlink():
            (root / name).symlink_to(os.readlink(host))
        elif host.is_dir():
            (root / name).mkdir()
            kernel.bind_read_only(str(host), str(root / name), MS_NODEV)


def _etc(kernel: Kernel, root: Path) -> None:
    files = {
        "passwd": "root:x:0:0:root:/root:/sbin/nologin\nsandbox:x:993:990::/tmp:/sbin/nologin\n",
        "group": "root:x:0:\nsandbox:x:990:\n",
        "hosts": "127.0.0.1 localhost\n::1 localhost\n",
        "resolv.conf": "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
        "hostname": "localhost\n",
    }
    for name, text in files.items():
        (root / "etc" / name).write_text(text)
    for name in ETC_BOUND:
        if Path("/etc", name).exists():
            _bind_at_same_place(kernel, root, f"/etc/{name}")


def _devices(kernel: Kernel, root: Path) -> None:
    for name in DEVICES:
        target = root / "dev" / name
        target.touch()
        kernel.mount(f"/dev/{name}", str(target), None, MS_BIND)
    for name, goal in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        (root / "dev" / name).symlink_to(f"/proc/self/{goal}")


def _interpreter(root: Path) -> None:
    """Python where AWS's runtimes have it, for programs in layers that name it (``#!``)."""
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("python", "python3", f"python{version}"):
        (root / "var/lang/bin" / name).symlink_to(sys.executable)
    if (
        sys.prefix != sys.base_prefix
    ):  # a venv is known by what lies beside the name it is called by
        settings = Path(sys.prefix, "pyvenv.cfg").read_text()
        (root / "var/lang/pyvenv.cfg").write_text(settings)
        (root / "var/lang/lib").symlink_to(f"{sys.prefix}/lib")


def _node(kernel: Kernel, root: Path, contents: Contents) -> None:
    if contents.node:
        (root / "var/lang/bin/node").touch()
        kernel.bind_read_only(contents.node, str(root / "var/lang/bin/node"), MS_NODEV)
    if contents.client:
        kernel.bind_read_only(contents.client, str(root / "var/runtime/client"), MS_NODEV)
    if contents.node_modules and os.path.isdir(contents.node_modules):
        modules = str(root / "var/runtime/node_modules")
        kernel.bind_read_only(contents.node_modules, modules, MS_NODEV)
    # import statements (ESM) ignore NODE_PATH and look in the parents of /var/task.
    (root / "node_modules").symlink_to("/var/runtime/node_modules")


def _certificates(root: Path, authority: str) -> None:
    """Whom to trust, alone and beside those this machine trusts."""
    folder = root / "var/runtime/certificates"
    known = next((p for p in _authorities() if p and os.path.isfile(p)), "")
    (folder / "ours.pem").write_text(authority)
    world = Path(known).read_text(errors="replace") if known else ""
    (folder / "all.pem").write_text(f"{world}\n{authority}")


def _authorities() -> Iterable[str | None]:
    yield ssl.get_default_verify_paths().cafile
    yield from ("/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt")
    yield from (f"{folder}/botocore/cacert.pem" for folder in sorted(_site_folders()))


def python_paths() -> set[str]:
    """The host paths the interpreter and AWS's packages are read from, beyond /usr."""
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    paths = {f"{sys.base_prefix}/bin", f"{sys.base_prefix}/lib"}
    if sys.prefix != sys.base_prefix:
        paths |= {f"{sys.prefix}/bin/{n}" for n in ("python", "python3", version)}
        paths.add(f"{sys.prefix}/pyvenv.cfg")
    for folder in _site_folders():
        paths |= {str(Path(folder, p)) for p in PACKAGES}
    return {p for p in paths if os.path.lexists(p) and not p.startswith("/usr/")}


def _site_folders() -> Iterable[str]:
    return {*site.getsitepackages(), *(p for p in sys.path if p.endswith("-packages"))}


def covered_paths() -> list[str]:
    """Those of ``python_paths`` that a worker's own mounts would hide (a venv under /tmp)."""
    return sorted(p for p in python_paths() if p.startswith(tuple(f"{c}/" for c in COVERED)))


def _bind_at_same_place(kernel: Kernel, root: Path, source: str) -> None:
    target = root / source.lstrip("/")
    if os.path.lexists(target):
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    if os.path.islink(source):
        goal = os.readlink(source)
        target.symlink_to(goal)
        return
    if stat.S_ISDIR(os.stat(source).st_mode):
        target.mkdir(exist_ok=True)
    else:
        target.touch()
    kernel.bind_read_only(source, str(target), MS_NODEV)
