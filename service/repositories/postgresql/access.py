"""Access in PostgreSQL."""

from service.repositories.postgresql.engine.database import Database


class PostgresqlAccess:
    """Access: see ``repositories.base``."""

    def __init__(self, database: Database) -> None:
        self._database = database
