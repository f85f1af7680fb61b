"""A disk of a host's own: an ext4 file system in a file, on a loop device. It can be filled, made
slow, damaged, and cut from its power while processes write.

Needs root. Slow is made by the block layer's own throttle (cgroup v1 ``blkio``, set for this
device alone); where there is none, ``slow`` raises. After ``cut`` the file system is as a machine
finds it that lost its power at that moment: what was not synced is gone, the journal is replayed.
Writes that the device had taken but not flushed are kept: a disk's own cache is not taken away.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

from lab.hosts import command

THROTTLE = Path("/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device")
SIZE_MB = 1024
INODES_MAX, BYTES_AN_INODE_MIN = 65_536, 16_384  # each is written when the disk is made
COMMIT_S = 60  # the file system's own pace; longer, so that a cut finds more that is not synced
UMOUNT_S_MAX = 60.0


def disks_work(folder: Path) -> bool:
    """Whether file systems can be made and mounted here."""
    if os.geteuid():
        return False
    try:
        disk = Disk(folder / "probe.img", folder / "probe", size_mb=16)
    except (RuntimeError, OSError):
        return False
    disk.close()
    return True


class Disk:
    """Mounted at ``place``, below ``shelf``, from the beginning until ``close``. ``image``: the
    file it lies in. The shelf is a shared mount: processes that began in mount namespaces of their
    own meanwhile (``ip netns exec`` makes one) see the disk go, and do not keep it in use."""

    def __init__(self, image: Path, shelf: Path, size_mb: int = SIZE_MB) -> None:
        self.image, self.place = image, shelf / "disk"
        self._device = ""
        image.touch()
        os.truncate(image, size_mb * 1024 * 1024)
        shelf.mkdir(parents=True, exist_ok=True)
        command("mount", "--bind", shelf, shelf)
        command("mount", "--make-shared", shelf)
        self.place.mkdir()
        try:
            inodes = ("-i", str(max(BYTES_AN_INODE_MIN, size_mb * 1024 * 1024 // INODES_MAX)))
            all_now = ("-E", "lazy_itable_init=0,lazy_journal_init=0")
            command("mkfs.ext4", "-q", "-F", *inodes, *all_now, image)
            self.attach()
        except BaseException:
            self.close()
            raise

    def attach(self) -> None:
        """Plug it in: the file system's journal is replayed where it was cut."""
        self._device = command("losetup", "--find", "--show", self.image).strip()
        try:
            options = f"noatime,commit={COMMIT_S}"
            command("mount", "-t", "ext4", "-o", options, self._device, self.place)
        except RuntimeError:
            self._release()
            raise

    def detach(self) -> None:
        """Pull it out; whoever used it must have ended."""
        deadline = time.monotonic() + UMOUNT_S_MAX
        while True:
            try:
                command("umount", self.place)
                break
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        self._release()

    def _release(self) -> None:
        """The kernel lets go of the image a moment after it was told to."""
        command("losetup", "--detach", self._device, check=False)
        holds = Path("/sys/block", Path(self._device).name, "loop", "backing_file")
        deadline = time.monotonic() + UMOUNT_S_MAX
        while self._holds(holds) and time.monotonic() < deadline:
            time.sleep(0.01)
        self._device = ""

    def _holds(self, told: Path) -> bool:
        with contextlib.suppress(OSError):  # it let go meanwhile
            return told.read_text().startswith(str(self.image.absolute()))
        return False

    # -- full ----------------------------------------------------------------------------------

    @property
    def _ballast(self) -> Path:
        return self.place / "ballast"

    def fill(self) -> None:
        """Take every byte that is left, also those that become free meanwhile when called again."""
        with self._ballast.open("ab", buffering=0) as file:
            for size in (64 << 20, 1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), size)

    def empty(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)

    # -- slow ----------------------------------------------------------------------------------

    def slow(self, writes_a_second: int) -> None:
        """So many writes reach the device in a second and no more (a synced one takes several)."""
        if not THROTTLE.exists():
            raise RuntimeError(
                "no disk can be made slow here: cgroup v1 blkio throttling is absent"
            )
        device = os.stat(self._device).st_rdev
        THROTTLE.write_text(f"{os.major(device)}:{os.minor(device)} {writes_a_second}")

    def quick(self) -> None:
        """As fast as it was."""
        if THROTTLE.exists():
            self.slow(0)

    # -- without power -------------------------------------------------------------------------

    def copy(self) -> None:
        """Note what is on the disk at this moment, mounted and in use. Nothing may run on it."""
        command("cp", "--sparse=always", self.image, self._copied)

    def cut(self) -> None:
        """Go on from the last ``copy``; whoever used the disk must have ended."""
        self.detach()
        self._copied.rename(self.image)
        self.attach()

    @property
    def _copied(self) -> Path:
        return self.image.with_suffix(".cut")

    def close(self) -> None:
        """Take it away, also when something still uses it, or a part of it is gone."""
        self._copied.unlink(missing_ok=True)
        if self._device:
            with contextlib.suppress(OSError, RuntimeError):
                self.quick()
            if subprocess.run(["umount", self.place], capture_output=True).returncode:
                command("umount", "--lazy", self.place, check=False)
            self._release()
        command("umount", "--lazy", self.place.parent, check=False)
        self.image.unlink(missing_ok=True)


def flip_bit(file: Path, at: int, bit: int) -> None:
    """One bit of ``file`` is the other one from now on."""
    with open(file, "r+b") as opened:
        opened.seek(at)
        [was] = opened.read(1)
        opened.seek(at)
        opened.write(bytes([was ^ 1 << bit]))
        opened.flush()
        os.fsync(opened.fileno())
