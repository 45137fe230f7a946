"""The worst legal request of each route, and what is deterministic about its answer."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote

from asking import Ask
from hooks import LONGEST_HOOK, all_hooks, delivered_hook, new_delivery, new_hook
from stored import EXPORT_MAX, KIB, MIB, MODULES, Stored, brackets, film

from service.app import ROUTES

SLASH_PAGE = "GET /r/{share_hash}/"
"""Routed, but not published."""


@dataclass(frozen=True)
class Case:
    """A request that takes long, sent on ``at_once`` connections."""

    route: str
    what: str
    ask: Callable[[Stored], Ask]
    """Makes the request; stores first what it needs."""
    status: int = 200
    pools: tuple[str, ...] = ()
    """The pools whose threads may work for it."""
    written: int = 128 * KIB
    """Bytes that are handed to the connection at once, at most."""
    at_once: int = 1


def get(
    path: str, what: str, ask_for: str | None = None, route: str = "", **fields: object
) -> Case:
    """A GET of a link's address; ``path`` has its share hash, by the name in ``ask_for``."""
    return Case(
        f"GET {route or path.partition('?')[0]}",
        what,
        lambda stored: Ask(
            "GET", path.replace("{share_hash}", stored.hashes.get(ask_for or "", ""))
        ),
        **fields,  # type: ignore[arg-type] # those of a case
    )


def owned(
    method: str, path: str, what: str, body: object = None, chunk: int = 0, **fields: object
) -> Case:
    """A call of the owner. Names in the path's braces are made by `_NAMES`."""

    def ask(stored: Stored) -> Ask:
        target = path
        for name, make in _NAMES.items():
            if name in target:
                target = target.replace(name, make(stored))
        data = body() if callable(body) else body
        encoded = b"" if data is None else data if isinstance(data, bytes) else _json(data)
        return Ask(method, target, encoded, {"Authorization": stored.key}, chunk)

    route = str(fields.pop("route", path.partition("?")[0]))
    return Case(f"{method} {route}", what, ask, **fields)  # type: ignore[arg-type] # as above


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _new_link(stored: Stored) -> str:
    return str(stored.share("names", modules=MODULES[-200:], note="\u00fc" * 500)["id"])


def _new_key(stored: Stored) -> str:
    return str(stored.call("POST", "/api/keys", {"name": "x"})["id"])


_NAMES: dict[str, Callable[[Stored], str]] = {
    "{report_id}/views": lambda stored: f"{stored.viewed}/views",
    "{report_id}": _new_link,
    "{key_id}": _new_key,
    "{webhook_id}": new_hook,
    "{delivery_id}": new_delivery,
    "{delivered_id}": delivered_hook,
    "{many}": Stored.video_with_links,
    "{told}": Stored.told_video,
    "{new}": lambda stored: f"new{next(stored.fresh)}",
}
_LONGEST_LINK = {
    "video_id": "names",
    "modules": MODULES[-200:],
    "label": "\u00fc" * 200,
    "note": "\u00fc" * 500,
    "password": "\u00fc" * 200,
}
_WHOLE = EXPORT_MAX + 4 * MIB  # an analysis: it has the video's id in each segment
_PAIRS_BODY = b"a=b&" * (16 * KIB - 1)
_PADDED = b'{"video_id": "links"%b}' % (b" " * (63 * KIB))
LINKS = "/api/videos/{job_id}/shared-reports"

VIEWS = "/api/shared-reports/{report_id}/views"

CASES = [
    owned(
        "POST",
        "/api/shared-reports",
        "longest settings",
        _LONGEST_LINK,
        status=201,
        pools=("passwords",),
        at_once=8,
    ),
    owned("POST", "/api/shared-reports", "one-byte chunks", _PADDED, chunk=1, status=201),
    owned(
        "GET",
        "/api/shared-reports?limit=200&video_id=links",
        "longest page",
        written=6 * MIB,
    ),
    owned(
        "GET",
        "/api/shared-reports?limit=200&video_id=links",
        "longest page, 16 at once",
        written=6 * MIB,
        at_once=16,
    ),
    owned("GET", "/api/shared-reports?label=none", "filter that none matches"),
    get("/api/shared-reports/{share_hash}", "longest names", "names"),
    get("/api/shared-reports/{share_hash}", "200 of 500 modules", "names, restricted"),
    get(
        "/api/shared-reports/{share_hash}", "100,000 modules, of before", "former", written=4 * MIB
    ),
    get("/api/shared-reports/{share_hash}", "200 of 100,000 modules", "former, restricted"),
    get(
        "/api/shared-reports/{share_hash}",
        "200 of 100,000 modules, 16 at once",
        "former, restricted",
        at_once=16,
    ),
    Case(
        "POST /api/shared-reports/{share_hash}/unlock",
        "wrong password, 8 at once",
        lambda stored: Ask(
            "POST", f"/api/shared-reports/{stored.hashes['protected']}/unlock", b'{"password":"x"}'
        ),
        status=401,
        pools=("passwords",),
        at_once=8,
    ),
    Case(
        "POST /api/shared-reports/{share_hash}/unlock",
        "one-byte chunks",
        lambda stored: Ask(
            "POST",
            f"/api/shared-reports/{stored.hashes['protected']}/unlock",
            b'{"password":"secret"}' + b" " * 63 * KIB,
            chunk=1,
        ),
        pools=("passwords",),
    ),
    *(
        get(
            f"/api/shared-reports/{{share_hash}}/segments{query}",
            what,
            name,
            pools=("downloads",),
            written=_WHOLE,
        )
        for query, what, name in (
            ("", "100,000 segments", "film"),
            ("", "200 of 500 modules", "film, restricted"),
            (f"?module={quote(MODULES[0])}", "a module", "film"),
            ("?module=none", "deep metadata", "deep"),
        )
    ),
    owned(
        "PATCH",
        "/api/shared-reports/{report_id}",
        "longest settings",
        {name: value for name, value in _LONGEST_LINK.items() if name != "video_id"},
        pools=("passwords",),
    ),
    owned("POST", "/api/shared-reports/{report_id}/rotate", "longest settings"),
    owned("DELETE", "/api/shared-reports/{report_id}", "longest settings"),
    owned(
        "GET",
        f"{VIEWS}?interval=day&from=2024-12-01",
        "a view in each hour of 400 days",
        route=VIEWS,
    ),
    owned(
        "GET",
        "/api/videos/links/views?interval=day&from=2024-12-01",
        "a view in each hour of 400 days",
        route="/api/videos/{job_id}/views",
    ),
    owned("GET", "/api/usage", "a large table"),
    owned("GET", "/api/videos/{many}/shared-reports", "whole list", route=LINKS, written=MIB),
    owned("GET", "/api/videos/links/shared-reports", "longest links", route=LINKS, written=6 * MIB),
    owned(
        "GET",
        "/api/videos/{many}/shared-reports?label=none",
        "filter that none matches",
        route=LINKS,
    ),
    owned("DELETE", "/api/videos/{many}/shared-reports", "many links", route=LINKS),
    owned("DELETE", "/api/videos/{told}/shared-reports", "many links, events", route=LINKS),
    owned(
        "PUT",
        "/api/videos/{new}",
        "100,000 segments",
        film,
        status=201,
        pools=("parsing",),
        route="/api/videos/{job_id}",
    ),
    owned(
        "PUT",
        "/api/videos/{new}",
        "2,000,000 arrays",
        brackets,
        status=201,
        pools=("parsing",),
        route="/api/videos/{job_id}",
    ),
    owned(
        "PUT",
        "/api/videos/{new}",
        "one-byte chunks",
        lambda: brackets()[: MIB // 2],
        chunk=1,
        status=400,
        pools=("parsing",),
        route="/api/videos/{job_id}",
    ),
    owned("GET", "/api/videos", "longest videos", written=10 * MIB),
    owned("GET", "/api/videos?limit=200", "longest page", written=10 * MIB),
    owned("GET", "/api/videos/names", "longest names", route="/api/videos/{job_id}"),
    owned(
        "GET",
        "/api/videos/film/segments",
        "100,000 segments",
        route="/api/videos/{job_id}/segments",
        written=_WHOLE,
    ),
    owned(
        "GET",
        f"/api/videos/film/segments?module={quote(MODULES[0])}",
        "a module",
        route="/api/videos/{job_id}/segments",
        pools=("downloads",),
    ),
    owned("DELETE", "/api/videos/{many}", "many links", route="/api/videos/{job_id}"),
    owned("GET", "/api/events?limit=200", "longest page", written=6 * MIB),
    owned("GET", "/api/events?type=video.deleted", "type that none has"),
    owned("PUT", "/api/events", "padded", b'{"enabled":true}' + b" " * 63 * KIB),
    owned("GET", "/api/keys", "900 keys", written=2 * MIB),
    owned("POST", "/api/keys", "longest name", {"name": "\U0001f3ac" * 200}, status=201),
    owned(
        "POST",
        "/api/keys",
        "one-byte chunks",
        b'{"name":"x"%b}' % (b" " * 63 * KIB),
        chunk=1,
        status=201,
    ),
    owned("PATCH", "/api/keys/{key_id}", "of 900", {"is_active": False}),
    owned("DELETE", "/api/keys/{key_id}", "of 900"),
    owned("POST", "/api/webhooks", "longest URL", LONGEST_HOOK, status=201),
    Case("GET /api/webhooks", "20 webhooks", all_hooks),
    owned("GET", "/api/webhooks/{webhook_id}", "longest URL"),
    owned("PATCH", "/api/webhooks/{webhook_id}", "longest URL", LONGEST_HOOK),
    owned("DELETE", "/api/webhooks/{webhook_id}", "longest URL"),
    owned("POST", "/api/webhooks/{webhook_id}/rotate", "longest URL"),
    owned("POST", "/api/webhooks/{webhook_id}/test", "longest URL", status=202),
    owned(
        "GET",
        "/api/webhooks/{delivered_id}/deliveries?limit=200&status=failed",
        "filter that none matches",
        route="/api/webhooks/{webhook_id}/deliveries",
    ),
    owned(
        "POST",
        "/api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
        "longest URL",
        status=202,
    ),
    *(
        get(f"/r/{{share_hash}}{query}", what, name, pools=("rendering",), written=_WHOLE)
        for query, what, name in (
            ("", "100,000 segments", "film"),
            ("?page=200", "100,000 segments, a page", "film"),
            ("?q=e", "100,000 segments, a search", "film"),
            ("?q=e&all=1", "100,000 segments, to print", "film"),
            ("?from=0:01&to=9999999", "100,000 segments, zoomed", "film"),
            ("?entry=50000", "100,000 segments, one of them", "film"),
            ("", "numbers of 9,990 names", "numbers"),
            ("", "deep metadata", "deep"),
            ("", "captions", "speech"),
            ("", "longest texts", "formulas"),
        )
    ),
    Case(
        "POST /r/{share_hash}",
        "16,000 fields",
        lambda stored: Ask("POST", f"/r/{stored.hashes['protected']}", _PAIRS_BODY),
        status=400,
    ),
    Case(
        "POST /r/{share_hash}",
        "one-byte chunks",
        lambda stored: Ask("POST", f"/r/{stored.hashes['protected']}", _PAIRS_BODY, chunk=1),
        status=400,
    ),
    *(
        get(
            f"/r/{{share_hash}}/{file}",
            what,
            name,
            pools=("downloads",),
            written=times * _WHOLE,
        )
        for file, what, name, times in (
            ("analysis.json", "100,000 segments", "film", 1),
            ("analysis.csv", "100,000 segments", "film", 1),
            ("analysis.csv", "texts like formulas", "formulas", 3),
            ("analysis.csv?q=e", "100,000 segments, a search", "film", 1),
            ("transcript.vtt", "captions that are escaped", "speech", 3),
            ("transcript.srt", "captions that are escaped", "speech", 3),
        )
    ),
    get("/r/{share_hash}/qr.svg", "a large report", "film", pools=("rendering",)),
    get(SLASH_PAGE.removeprefix("GET "), "a redirect", "film", status=302),
    get("/", "no stored state"),
    get("/openapi.json", "no key", pools=("rendering",), written=256 * KIB),
    get("/docs", "no key", pools=("rendering",), written=256 * KIB),
    get("/livez", "no stored state"),
    get("/api/health", "no stored state"),
    get("/healthz", "no stored state"),
    get("/readyz", "a large table"),
    get("/metrics", "a large table"),
]


def unlisted() -> set[str]:
    """The routes without a case, and the cases without a route."""
    routes = {f"{route.method} {route.path}" for route in ROUTES} | {SLASH_PAGE}
    return routes ^ {case.route for case in CASES}
