"""Downloads of a report: the analysis as JSON and CSV, and their names."""

import codecs
import re
from collections.abc import Callable, Iterable
from urllib.parse import quote

import msgspec

from service.domain.piece_writer import PieceWriter
from service.domain.segments import decode_segments
from service.domain.videos import PublicVideo

_CSV_HEAD = b'"id","module","start_time","end_time","content","metadata"\r\n'
_STEP = 2**14  # characters of a cell written at once, 1 ms at most
# Spreadsheets take a cell for a formula if one of these characters is its first, or its first but
# for what they skip: white space, control characters, byte order marks. They read the full-width
# forms alike.
_FORMULA = re.compile(
    r"[\s\x00-\x1f\x7f-\xa0\u200b-\u200f\u2060\ufeff]*+[=+\-@\uff1d\uff0b\uff0d\uff20]"
)
_FORMULA_START = re.compile(r"[\t\r\n]")
# Where the separator is another than the comma, quotes protect nothing: a cell, or a line, may
# begin behind any of these. Linear: from one separator, a match reads no further than the next.
_SEPARATOR = r"[\t-\r\x1c-\x1e\x85\u2028\u2029;|]"
_BLANKS = (
    r'[ "\x00-\x08\x0e-\x1b\x1f\x7f-\x84\x86-\xa0\u1680\u2000-\u200f\u202f\u205f\u2060\u3000'
    r"\ufeff]*+"
)
_INNER_FORMULA = re.compile(f"({_SEPARATOR}{_BLANKS}" + r"[=+\-@\uff1d\uff0b\uff0d\uff20])")
_OPEN_END = re.compile(_SEPARATOR + _BLANKS + r"\Z")
_BLANK = re.compile(_BLANKS)
_STEM_MAX = 80


def as_json(video: PublicVideo, segments: bytes) -> bytes:
    """The report as a ReportDocument in JSON; ``segments`` is JSON already."""
    text = PieceWriter()
    text.write(b'{"video":%b,"segments":' % msgspec.json.encode(video))
    text.write(segments)
    text.write(b"}")
    return text.getvalue()


def as_csv(stored: bytes, *, has_mark: bool = False) -> bytes:
    """The stored analysis as CSV (RFC 4180), one line a segment; the metadata is JSON text.

    Every text is quoted; numbers are not. No cell is a formula, whether the separator is taken to
    be the comma, the semicolon, the tab or the bar. A byte order mark tells Excel that it is UTF-8.
    """
    text = PieceWriter()
    text.write(codecs.BOM_UTF8 if has_mark else b"")
    text.write(_CSV_HEAD)
    for segment in decode_segments(stored):
        text.write(
            b"%b,%b,%r,%r,%b,%b\r\n"
            % (
                _text_cell(segment.id),
                _text_cell(segment.module),
                segment.start_time,
                segment.end_time,
                _text_cell(segment.content),
                _metadata_cell(bytes(segment.raw_metadata)),
            )
        )
    return text.getvalue()


Inert = Callable[[str], str]
"""Returns what stands for the begin of a formula within a cell."""


def _text_cell(cell: str) -> bytes:
    """A quoted cell. An apostrophe stands before what a spreadsheet takes for a formula."""
    is_formula = _FORMULA.match(cell) or _FORMULA_START.match(cell)
    mark = b"'" if is_formula else b""
    if len(cell) <= _STEP:
        return b'"%b%b"' % (mark, _quoted(_without_formulas(cell, _with_apostrophe)))
    pieces = (cell[start : start + _STEP] for start in range(0, len(cell), _STEP))
    return b'"%b%b"' % (mark, _quoted_pieces(pieces, _with_apostrophe))


def _metadata_cell(raw: bytes) -> bytes:
    """A cell of JSON. Only negative numbers begin like a formula.

    Separators stand in strings only, so a formula behind one is escaped: the value stays the same.
    """
    if raw == b"null":
        return b'""'
    mark = b"'" if raw[:1] == b"-" else b""
    if len(raw) <= _STEP:
        return b'"%b%b"' % (mark, _quoted(_without_formulas(raw.decode(), _with_escape)))
    steps = (raw[start : start + _STEP] for start in range(0, len(raw), _STEP))
    return b'"%b%b"' % (mark, _quoted_pieces(codecs.iterdecode(steps, "utf-8"), _with_escape))


def _without_formulas(piece: str, inert: Inert) -> str:
    """A piece of a cell. Begins of formulas that are alike are made inert once."""
    parts = _INNER_FORMULA.split(piece)
    if len(parts) == 1:
        return piece
    begins = parts[1::2]
    parts[1::2] = map({begin: inert(begin) for begin in set(begins)}.__getitem__, begins)
    return "".join(parts)


def _quoted(inert: str) -> bytes:
    return inert.replace('"', '""').encode()


def _quoted_pieces(pieces: Iterable[str], inert: Inert) -> bytes:
    """A cell without formulas, those that are cut in two included."""
    cell = PieceWriter()
    is_open = False
    for piece in pieces:
        if is_open:  # a separator and blanks are before the piece
            cell.write(_quoted(_without_formulas(f"\n{piece}", inert)[1:]))
        else:
            cell.write(_quoted(_without_formulas(piece, inert)))
        if not (is_open and _BLANK.fullmatch(piece)):
            is_open = _OPEN_END.search(piece) is not None
    return cell.getvalue()


def _with_apostrophe(begin: str) -> str:
    return f"{begin[:-1]}'{begin[-1]}"


def _with_escape(begin: str) -> str:
    return f"{begin[:-1]}\\u{ord(begin[-1]):04x}"


def content_disposition(video_name: str, extension: str) -> str:
    """The header that names a download after its video, by RFC 6266.

    ``filename`` is plain ASCII. ``filename*`` stands beside it if the name has other characters.
    """
    stem, dot, suffix = video_name.rpartition(".")
    if not video_name.isascii() and dot and not _ascii(stem):
        plain = f"report.{_ascii(suffix)}".rstrip(".")
    else:
        plain = _ascii(video_name) or "report"
    header = f'attachment; filename="{plain}.{extension}"'
    if video_name.isascii():
        return header
    visible = "".join(
        char if char.isprintable() and char not in '/\\:*?"<>|' else "-" for char in video_name
    )
    full = f"{visible.strip(' -.')[:_STEM_MAX] or plain}.{extension}"
    return f"{header}; filename*=UTF-8''{quote(full, safe='')}"


def _ascii(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:_STEM_MAX]
