"""Unicode's normal form NFC, so that texts that look equal are equal.

Names, labels, notes and filters are stored and compared in this form. Texts that a caller must get
back byte for byte are not: job ids, storage paths, the content and metadata of segments.
"""

import unicodedata

from service.domain.errors import InvalidError


def nfc(text: str) -> str:
    """Return a text in the form NFC."""
    return unicodedata.normalize("NFC", text)


def bounded_nfc(field: str, text: str, length_max: int) -> str:
    """Return a text in the form NFC, which has up to three characters for one.

    Raises InvalidError if it is then longer than ``length_max``.
    """
    text = nfc(text)
    if len(text) > length_max:
        raise InvalidError(
            f"`{field}` has more than {length_max} characters in Unicode's normal form NFC."
        )
    return text
