"""The documents, as the tests read them."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")))
"""Every document that the source distribution contains."""


def document(name: str) -> str:
    """The text of ``docs/NAME.md``."""
    return (ROOT / f"docs/{name}.md").read_text()


def section(name: str, title: str) -> str:
    """The text of a document below a heading of the second level, up to the next one."""
    match = re.search(rf"^## {title}$(.*?)(?=^## |\Z)", document(name), re.MULTILINE | re.DOTALL)
    assert match is not None, f"docs/{name}.md has no section {title!r}"
    return match[1]


def rows(name: str, title: str) -> list[list[str]]:
    """The cells of the table rows in a section, without the head of the table."""
    lines = [line for line in section(name, title).splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line[1:-1].split("|")] for line in lines]
    return cells[1:]


def code(cell: str) -> list[str]:
    """The texts in backticks in a cell."""
    return re.findall(r"`([^`]+)`", cell)


def blocks(name: str, language: str) -> list[str]:
    """The fenced code blocks of one language in a document."""
    return re.findall(rf"^```{language}\n(.*?)^```", document(name), re.MULTILINE | re.DOTALL)
