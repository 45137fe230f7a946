"""Work that takes long, in a thread."""

import asyncio
from collections.abc import Callable

from service.web.routing import T


async def off_loop(function: Callable[..., T], *arguments: object) -> T:
    """Run a function that takes long in a thread, so that other requests go on."""
    return await asyncio.to_thread(function, *arguments)
