"""Which process serves a database, and which file that process serves.

The serving process holds two locks:

- flock on the lock file, ``<database>.lock``: one server for a path. The file contains device and
  inode of the served database, so that a command knows whether both mean the same file.
- An open file description lock on one byte of the database itself: one server for a file, by
  whatever path, even if its lock file was deleted. SQLite does not use that byte. The descriptor
  stays open for as long as SQLite has the file open: POSIX drops all of a process's locks on a file
  when the process closes any descriptor of it, SQLite's locks included.
"""

import fcntl
import os
import struct
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from service.domain.errors import DatabaseRefusedError
from service.repositories.sqlite.engine.file import Identity, identify, read_header, size

_POLL_SECONDS = 0.02  # flock can't wait for a time and then give up
_OPEN_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC

_FLOCK = struct.Struct("hhqqi")  # Linux's struct flock: type, whence, start, length, process
_HAS_FILE_LOCKS = sys.platform == "linux"
_SERVER_BYTE = (2**62, 1)  # far beyond the bytes that SQLite locks; start and length
# https://www.sqlite.org/src/file/src/os_unix.c: a connection in WAL mode holds a lock in both
# ranges for as long as it is open.
_DATABASE_BYTES = (0x40000000, 512)
_INDEX_BYTES = (120, 9)


class ServeLock:
    """The two locks of the one process that may serve or migrate the database at ``path``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock_path = lock_path(path)
        self._lock: int | None = None
        self._file: int | None = None
        self._next_file: int | None = None
        self._served: Identity | None = None

    def acquire(self, refusal: str, patience: float = 0.0) -> None:
        """Take both locks and record the identity of the database in the lock file.

        Raises DatabaseRefusedError with ``refusal`` if another process holds one of the locks after
        ``patience`` seconds.
        """
        deadline = time.monotonic() + patience
        while not self._try_acquire():
            if time.monotonic() >= deadline:
                raise DatabaseRefusedError(f"{self._path} {refusal}")
            time.sleep(_POLL_SECONDS)
        self.switch()

    def holds(self) -> bool:
        """Return whether the lock file that is locked is still the one at its path."""
        if self._lock is None:
            return False
        status = os.fstat(self._lock)
        return identify(self._lock_path) == Identity(status.st_dev, status.st_ino)

    def lock_path_again(self) -> bool:
        """Lock the lock file that is at its path now; return False if another process has it."""
        if not self.holds():
            if not self._try_lock_path():
                return False
            self._record()
        return True

    def lock_new_file(self) -> bool:
        """Lock the file now at the path, beside the one served until ``switch``; False if taken."""
        return self._try_lock_file()

    def switch(self) -> None:
        """Make the file at the path the served one. No connection to the old one is open."""
        if self._next_file is not None:
            self._file, self._next_file = self._close(self._file, self._next_file), None
        self._served = identify(self._path)
        self._record()

    def _record(self) -> None:
        if self._lock is not None and self._served is not None:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, f"{self._served.device} {self._served.inode}\n".encode(), 0)

    def release(self) -> None:
        """Give both locks up."""
        self._lock = self._close(self._lock)
        self._file = self._close(self._file)
        self._next_file = self._close(self._next_file)

    def _try_acquire(self) -> bool:
        if self._try_lock_path() and self._try_lock_file():
            return True
        self.release()
        return False

    def _try_lock_path(self) -> bool:
        """Lock the lock file; a descriptor whose file was replaced meanwhile locks nothing."""
        while True:
            descriptor = _open(self._lock_path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._lock = self._close(self._lock, descriptor)
            if self.holds():
                with suppress(PermissionError):  # earlier releases let anybody read, and so lock it
                    os.fchmod(descriptor, 0o600)
                return True

    def _try_lock_file(self) -> bool:
        """Lock the database at the path unless it is locked by us already."""
        if not _HAS_FILE_LOCKS:
            return True
        target = identify(self._path)
        if target is None or target == _identify_open(self._file):
            return True
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except PermissionError:
            raise DatabaseRefusedError(f"{self._path} may only be read") from None
        self._next_file = self._close(self._next_file, descriptor)
        try:
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _flock(_SERVER_BYTE))
        except (BlockingIOError, PermissionError):
            self._next_file = self._close(self._next_file)
            return False
        except OSError:  # a file system without such locks: the lock file has to do
            return True
        return True

    @staticmethod
    def _close(old: int | None, new: int | None = None) -> int | None:
        if old is not None:
            os.close(old)
        return new


@contextmanager
def serve_lock(path: Path, refusal: str, patience: float = 0.0) -> Iterator[ServeLock]:
    """Hold the locks of the process that serves or migrates the database at ``path``.

    Raises DatabaseRefusedError with ``refusal`` if another process has them after ``patience``
    seconds.
    """
    lock = ServeLock(path)
    lock.acquire(refusal, patience)
    try:
        yield lock
    finally:
        lock.release()


def lock_path(path: Path) -> Path:
    """Return the path of the lock file of the database at ``path``."""
    return path.with_name(f"{path.name}.lock")


def refuse_ambiguous_file(path: Path) -> bool:
    """Raise DatabaseRefusedError unless every process means the same file by ``path``.

    Returns whether a process serves the file. Reads the file only if none does, so it must not be
    open in this process then: closing it would drop SQLite's locks.
    """
    is_served, served = _served_file(path)
    present = identify(path)
    if is_served:
        _refuse_another_file(path, present, served)
    elif present is not None:
        _refuse_file_of_others(path)
    elif size(path.with_name(f"{path.name}-wal")):
        raise DatabaseRefusedError(
            f"{path} is missing and its write-ahead log is not; nothing was done. Move the file "
            f"back, or {path.name}-wal away"
        )
    return is_served


def refuse_hard_links(path: Path) -> None:
    """Raise DatabaseRefusedError if the file has several names: SQLite keeps a log for each."""
    with suppress(OSError):
        names = path.stat().st_nlink
        if names > 1:
            raise DatabaseRefusedError(
                f"{path} has {names} names (hard links), and SQLite would keep a log for each; "
                "nothing was done"
            )


def refuse_unserved_file(path: Path) -> None:
    """Raise DatabaseRefusedError if a process serves another file by ``path``; open none."""
    is_served, served = _served_file(path)
    if is_served:
        _refuse_another_file(path, identify(path), served)


def _refuse_another_file(path: Path, present: Identity | None, served: Identity | None) -> None:
    if present is None:
        raise DatabaseRefusedError(
            f"{path} was moved or deleted under the running service; nothing was done. Move the "
            "file back, or a copy of it to this path, and the service opens it"
        )
    if served not in {None, present}:
        raise DatabaseRefusedError(
            f"{path} is not the file that the running service has open; nothing was done. The "
            "service opens it within a second, or says in its log why it can't: then try again"
        )


def _refuse_file_of_others(path: Path) -> None:
    """Raise DatabaseRefusedError if the file is served by another path, or its log is another's."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _HAS_FILE_LOCKS and _is_locked(descriptor, fcntl.F_OFD_GETLK, _SERVER_BYTE):
            raise DatabaseRefusedError(
                f"{path} is being served by another name, or its lock file was deleted; nothing "
                "was done. The service makes a new lock file within a second"
            )
        if _has_log_of_another(path, descriptor):
            raise DatabaseRefusedError(
                f"{path.name}-wal is the log of another file than {path}; nothing was done. Stop "
                f"whatever has that file open, and move {path.name}-wal and {path.name}-shm away"
            )
    finally:
        os.close(descriptor)


def _has_log_of_another(path: Path, descriptor: int) -> bool:
    """Return whether the log at the path was written for a file that was there before.

    A file in rollback mode, as ``backup`` makes it, has no log. And who has the log's index open
    has its database open, too.
    """
    log_size = size(path.with_name(f"{path.name}-wal"))
    header = read_header(descriptor)
    if log_size and header is not None and not header.is_in_wal_mode:
        return True
    if not _HAS_FILE_LOCKS:
        return False
    for _ in range(3):  # a process that opens or closes the database meanwhile
        is_index_open = index_is_open_elsewhere(path)
        if not is_index_open or _is_locked(descriptor, fcntl.F_GETLK, _DATABASE_BYTES):
            return False
        time.sleep(_POLL_SECONDS)
    return True


def index_is_open_elsewhere(path: Path) -> bool:
    """Return whether another process has the index of a log at the path open.

    No connection of this process may have it open: see the module's text.
    """
    try:
        descriptor = os.open(f"{path}-shm", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _HAS_FILE_LOCKS and _is_locked(descriptor, fcntl.F_GETLK, _INDEX_BYTES)
    finally:
        os.close(descriptor)


def _served_file(path: Path) -> tuple[bool, Identity | None]:
    """Return whether the lock file is locked, and the identity in it; None if it has none.

    Releases before 0.2 left the lock file empty.
    """
    try:
        descriptor = _open(lock_path(path), os.O_RDONLY)
    except FileNotFoundError:
        return False, None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        numbers = os.pread(descriptor, 64, 0).split()
        return True, Identity(*map(int, numbers)) if len(numbers) == 2 else None  # noqa: PLR2004 - device and inode
    else:
        return False, None
    finally:
        os.close(descriptor)


def _open(path: Path, flags: int) -> int:
    """Open a lock file, never through a symbolic link, and without changing its content."""
    try:
        return os.open(path, flags | _OPEN_FLAGS, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DatabaseRefusedError(f"{path}: {error.strerror}") from error


def _identify_open(descriptor: int | None) -> Identity | None:
    if descriptor is None:
        return None
    status = os.fstat(descriptor)
    return Identity(status.st_dev, status.st_ino)


def _flock(byte_range: tuple[int, int]) -> bytes:
    return _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, *byte_range, 0)


def _is_locked(descriptor: int, command: int, byte_range: tuple[int, int]) -> bool:
    """Return whether others hold a lock on these bytes of an open file; takes none itself."""
    try:
        answer = fcntl.fcntl(descriptor, command, _flock(byte_range))
    except OSError:  # a file system without such locks
        return False
    return bool(_FLOCK.unpack(answer[: _FLOCK.size])[0] != fcntl.F_UNLCK)
