"""The fields of a form that a browser has sent."""

from collections.abc import Iterable
from urllib.parse import parse_qsl

from aiohttp import web

from service.domain.errors import MalformedError
from service.web.request_body import read_body

TOKEN_FIELD = "csrf"  # noqa: S105 - the name of a field
_FIELDS_MAX = 400  # 200 modules, and all other settings of a link


class Form:
    """The fields of a form, as they were typed. A field may have several values."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def text(self, name: str) -> str:
        """Return the first value of a field; empty if it was not sent."""
        return self._values.get(name, [""])[0]

    def all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return self._values.get(name, [])


async def read_form(request: web.Request) -> Form:
    """Return the form that is the body, with line ends as they were typed.

    Raises MalformedError for a body with a NUL or without UTF-8, and what ``read_body`` does.
    """
    body = await read_body(request, has_key=False)
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_FIELDS_MAX
        )
    except UnicodeError as error:
        raise MalformedError("The form is not UTF-8.") from error
    except ValueError as error:
        raise MalformedError(f"The form may have up to {_FIELDS_MAX} fields.") from error
    if any("\0" in value for _, value in pairs):
        raise MalformedError("The form has a NUL character.")
    return Form((name, value.replace("\r\n", "\n")) for name, value in pairs)
