"""OPTIONS on every path, and the service's own address."""

import re

import pytest
from support.harness import Caller, Start, is_problem

from service import __version__
from service.app import ROUTES
from service.config import Config

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


async def test_options_names_the_methods_of_every_route(public: Caller) -> None:
    for path in {route.path for route in ROUTES}:
        answer = await public.call("OPTIONS", re.sub(r"\{\w+\}", "x", path))
        assert (answer.status, answer.body) == (204, b""), path
        assert "Content-Length" not in answer.headers
        allowed = set(answer.headers["Allow"].split(", "))
        # Two routes may differ in nothing but the name of a parameter.
        shape = re.sub(r"\{\w+\}", "{}", path)
        methods = {r.method for r in ROUTES if re.sub(r"\{\w+\}", "{}", r.path) == shape}
        assert allowed == methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


async def test_options_reveals_nothing_of_a_link(alice: Caller, public: Caller) -> None:
    await alice.put_video()
    link = await alice.share()
    known = await public.call("OPTIONS", f"/r/{link['share_hash']}")
    unknown = await public.call("OPTIONS", f"/r/{'x' * 16}")
    assert known.status == unknown.status == 204
    assert known.headers["Allow"] == unknown.headers["Allow"]


async def test_options_of_an_unknown_path_is_not_found(public: Caller) -> None:
    assert is_problem(await public.call("OPTIONS", "/api/nothing"), 404, "not-found")


async def test_root_gives_a_program_the_addresses_of_the_parts(public: Caller) -> None:
    answer = await public.get("/")
    assert answer.status == 200
    assert answer.headers["Vary"] == "Accept"
    base = str(public.client.make_url("")).rstrip("/")
    index = answer.json
    assert (index.pop("name"), index.pop("version")) == ("Shared Reports", __version__)
    paths = {route.path for route in ROUTES}
    for address in index.values():
        assert address.removeprefix(base) in paths
    for part in ("documentation", "openapi", "health"):
        assert (await public.get(index[part].removeprefix(base))).status == 200


async def test_root_gives_a_browser_a_page_with_links(start: Start, config: Config) -> None:
    service = await start(
        Config(database=config.database, base_url="https://x.example/v1", console="off")
    )
    answer = await service.public.get("/", headers=BROWSER)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    html = answer.body.decode()
    assert set(re.findall(r'<a href="([^"]*)"', html)) == {
        "https://x.example/v1/docs",
        "https://x.example/v1/openapi.json",
        "https://x.example/v1/readyz",
    }
    assert "Accept" in answer.headers.getall("Vary")[0]  # type: ignore[attr-defined] # a CIMultiDict


@pytest.mark.parametrize("path", ["/api", "/api/", "/api/nothing", "/api/videos/a/b/c"])
async def test_unknown_api_path_is_a_problem_for_browsers_too(public: Caller, path: str) -> None:
    assert is_problem(await public.get(path, headers=BROWSER), 404, "not-found")
