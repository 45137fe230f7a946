"""Lists of links in PostgreSQL."""

from service.repositories.postgresql.engine.database import Database


class PostgresqlLinkLists:
    """Lists of links: see ``repositories.base``."""

    def __init__(self, database: Database) -> None:
        self._database = database
