"""Text that a terminal shows and does not obey."""

import json
import unicodedata


def printable(text: str) -> str:
    r"""Return ``text`` with each character that a terminal could obey or hide as ``\uXXXX``.

    That is every control character (C0, DEL and C1), every format character (bidirectional marks,
    zero-width characters), line and paragraph separators, surrogates, and code points that are
    private or not assigned. The escapes are JSON's, so a JSON text stays one with the same values.
    """
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    return json.dumps(character)[1:-1]
