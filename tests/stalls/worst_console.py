"""The worst legal request of the console's pages: those of the longest lists and forms."""

from urllib.parse import urlencode

from asking import Ask
from stored import KIB, MIB, MODULES, Stored
from worst import Case

from service.app import CONSOLE_ROUTES

_FORM = {"Content-Type": "application/x-www-form-urlencoded"}
_LONGEST = {
    "label": "\u00fc" * 200,
    "note": "\u00fc" * 500,
    "password-mode": "new",
    "password": "\u00fc" * 200,
    "modules-mode": "some",
    "modules": MODULES[-200:],
    "expires_at-mode": "none",
    "not_before-mode": "none",
}


def page(
    path: str, what: str, route: str, video: str = "", written: int = 128 * KIB, **fields: object
) -> Case:
    """A page of the console; the video's name stands for its id in the path."""

    def ask(stored: Stored) -> Ask:
        cookie, _ = stored.console
        return Ask("GET", path.format(video_id=stored.id_of(video)), b"", {"Cookie": cookie})

    fields |= {"pools": ("console",), "written": written}
    return Case(f"GET {route}", what, ask, **fields)  # type: ignore[arg-type] # those of a case


def _share(stored: Stored) -> Ask:
    cookie, token = stored.console
    body = urlencode(_LONGEST | {"csrf": token}, doseq=True).encode()
    target = f"/console/videos/{stored.id_of('names')}/share"
    return Ask("POST", target, body, _FORM | {"Cookie": cookie})


def _sign_in(_stored: Stored) -> Ask:
    return Ask("POST", "/console/sign-in", b"a=b&" * 99 + b"key=x", _FORM)


_SHARE = "/console/videos/{video_id}/share"

CONSOLE_CASES = [
    page("/console/links?limit=200", "longest page", "/console/links", written=MIB),
    page("/console/links?label=none", "filter that none matches", "/console/links"),
    page("/console/videos?limit=200", "longest page", "/console/videos", written=MIB),
    page(
        "/console/videos/{video_id}?limit=200",
        "longest links",
        "/console/videos/{video_id}",
        "links",
        written=MIB,
    ),
    page(_SHARE, "499 modules", _SHARE, "names"),
    page(
        "/console/videos/{video_id}/statistics?interval=hour",
        "720 hours",
        "/console/videos/{video_id}/statistics",
        "film",
    ),
    page("/console/keys?limit=200", "longest page", "/console/keys", written=MIB),
    page("/console/events?limit=200", "longest page", "/console/events", written=MIB),
    Case("POST /console/videos/{video_id}/share", "longest settings", _share, 303, ("passwords",)),
    Case("POST /console/sign-in", "a form without its token", _sign_in, 403, ("console",)),
]


def unknown() -> set[str]:
    """The cases without a route."""
    return {case.route for case in CONSOLE_CASES} - {
        f"{route.method} {route.path}" for route in CONSOLE_ROUTES
    }
