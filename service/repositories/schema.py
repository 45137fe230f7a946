"""The schema of an engine, and its migrations, as files beside the engine's code."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources


@dataclass(frozen=True, slots=True)
class Schema:
    """A schema, and its migrations from earlier versions."""

    script: str
    """SQL that creates it in an empty database."""
    migrations: Mapping[int, str]
    """SQL by target version, each from the version before: 2, 3 and so on without a gap."""

    @property
    def version(self) -> int:
        """The schema's version number."""
        return max(self.migrations, default=1)


def shipped_schema(package: str) -> Schema:
    """Return the schema of this release, from ``schema.sql`` and ``migrations/`` of a package."""
    folder = resources.files(package)
    return Schema(
        (folder / "schema.sql").read_text(encoding="utf-8"),
        {
            int(file.name[:4]): file.read_text(encoding="utf-8")
            for file in (folder / "migrations").iterdir()
            if file.name.endswith(".sql")
        },
    )
