"""What aiohttp itself allows: a route with a path parameter that answers with constant bytes."""

import sys

import uvloop
from aiohttp import web


def main(body: bytes, status: int) -> None:
    """Serve ``body`` until the end of the process, on the port that the command line names."""

    async def constant(request: web.Request) -> web.Response:
        if request.method == "POST":
            await request.read()
        return web.Response(body=body, status=status, content_type="application/json")

    app = web.Application()
    app.router.add_get("/api/shared-reports/{share_hash}", constant)
    app.router.add_post("/api/shared-reports", constant)
    web.run_app(
        app,
        host="127.0.0.1",
        port=int(sys.argv[1]),
        access_log=None,
        print=None,
        loop=uvloop.new_event_loop(),
    )


if __name__ == "__main__":
    main(sys.stdin.buffer.read(), int(sys.argv[2]))
