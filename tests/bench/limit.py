"""What aiohttp itself allows: routes with a path parameter that answer with constant bytes.

Called with the port and the routes in JSON, each of them method, path, status and size.
"""

import json
import sys
from collections.abc import Awaitable, Callable

import uvloop
from aiohttp import web


def constant(status: int, size: int) -> Callable[[web.Request], Awaitable[web.Response]]:
    """A handler that reads the body, if there may be one, and answers with ``size`` bytes."""
    body = b"x" * size

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            await request.read()
        return web.Response(body=body, status=status, content_type="application/json")

    return answer


def main() -> None:
    app = web.Application()
    for method, path, status, size in json.loads(sys.argv[2]):
        app.router.add_route(method, path, constant(status, size))
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main()
