"""Helpers of the tests that read pages."""

import re
from html import unescape

from support.harness import Response

MARKUP = re.compile(r"<[^>]+>")


def text(answer: Response) -> str:
    """What a reader reads of a page: no markup, no style, one space between words."""
    body = re.sub(r"<(style|title)>.*?</\1>", "", answer.body.decode(), flags=re.DOTALL)
    return " ".join(unescape(MARKUP.sub(" ", body)).split())
