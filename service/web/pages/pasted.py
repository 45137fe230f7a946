"""Addresses of links as people paste them: with a slash, a dot or a bracket behind."""

from contextlib import suppress

from aiohttp import web

from service.aiohttp_ext.response import Response, raw_response
from service.domain.errors import PROTECTED_LINK_ERRORS, ExhaustedError, ExpiredError
from service.web.app_keys import ACCESS
from service.web.pages.rendering import HTML

_PUNCTUATION = " \t\r\n/.,;:!?)]}>\"'`*_\u2026\u2019\u201d\u00bb\u3002\uff0c"


def has_punctuation(share_hash: str) -> bool:
    """Whether punctuation follows a share hash, which has none of its own."""
    return not share_hash.isalnum() and share_hash.endswith(tuple(_PUNCTUATION))


async def redirect_to_link(request: web.Request) -> Response:
    """Redirect to a link's page, without what follows the share hash in the path.

    Raises NotFoundError if there is no such link: an unknown address redirects nowhere.
    """
    pasted = request.match_info["share_hash"]
    share_hash = pasted.rstrip(_PUNCTUATION)
    # The page says itself why a link is dead, or how it is unlocked.
    with suppress(*PROTECTED_LINK_ERRORS, ExpiredError, ExhaustedError):
        await request.app[ACCESS].check(share_hash, None)
    # Relative, because a proxy may add a path.
    location = f"../{share_hash}" if request.path.endswith("/") else share_hash
    if query := request.rel_url.raw_query_string:
        location += f"?{query}"
    return raw_response(b"", status=302, content_type=HTML, headers={"Location": location})
