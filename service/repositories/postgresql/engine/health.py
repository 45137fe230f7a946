"""Health checks of the database, and what is to be said at the start."""

from service.domain.errors import UnavailableError
from service.repositories.postgresql.engine.database import Database
from service.repositories.postgresql.engine.migrate import SCHEMA
from service.repositories.postgresql.engine.statements import read

_CHECK_READING = read("-- check reading\nSELECT 1")
_CHECK_SCHEMA = read("-- check the schema\nSELECT version FROM schema_version")
_CHECK_WRITING = read(
    "-- check writing\n"
    "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean"
)
_DURABILITY = read(
    "-- check durability\n"
    "SELECT current_setting('synchronous_commit'), current_setting('fsync'),"
    " current_setting('full_page_writes')"
)


async def check_readable(database: Database) -> None:
    """Raise UnavailableError if a read fails."""
    await database.lookups.fetch_all(_CHECK_READING)
    await database.long.fetch_all(_CHECK_READING)


async def check_schema(database: Database) -> None:
    """Raise UnavailableError if another release has migrated the schema since the start.

    A newer schema is one that this release still works with: see ``migrations``.
    """
    [[version]] = await database.lookups.fetch_all(_CHECK_SCHEMA)
    if version < SCHEMA.version:
        raise UnavailableError(
            f"The database has schema version {version}; this program needs {SCHEMA.version}."
        )


async def check_writable(database: Database) -> None:
    """Raise UnavailableError if the server may only be read.

    After a failed write, write a row as it is: a full disk shows only then.
    """
    [[is_read_only]] = await database.writer.fetch_all(_CHECK_WRITING)
    if is_read_only:
        raise UnavailableError("The server may only be read.")
    if database.errors.write_failed:
        await database.confirm()
        database.errors.write_failed = False


async def durability_warnings(database: Database) -> list[str]:
    """Return why an acknowledged write may be lost; empty if it is not."""
    [[commit, fsync, pages]] = await database.writer.fetch_all(_DURABILITY)
    warnings = []
    if commit in {"off", "local"}:
        warnings.append(
            f"PostgreSQL runs with synchronous_commit={commit}: a write that was acknowledged may "
            "be lost. Set it to on."
        )
    for name, value in (("fsync", fsync), ("full_page_writes", pages)):
        if value != "on":
            warnings.append(
                f"PostgreSQL runs with {name}={value}: a loss of power may lose or damage the "
                "database. Set it to on."
            )
    return warnings
