"""Helpers of the tests that go through lists."""

import re
from collections.abc import AsyncIterator
from typing import Any

from support.harness import Caller


async def pages(caller: Caller, path: str) -> AsyncIterator[list[Any]]:
    """Each page of a list, by the links from one to the next."""
    base = str(caller.client.make_url("/")).rstrip("/")
    while True:
        answer = await caller.get(path)
        assert answer.status == 200, answer.body
        yield answer.json
        if "Link" not in answer.headers:
            return
        found = re.fullmatch(r'<(.+)>; rel="next"', answer.headers["Link"])
        assert found is not None
        assert found[1].startswith(base)
        path = found[1].removeprefix(base)
