"""Sessions of the console: who is signed in, for how long, and what the cookie is."""

import dataclasses
from ipaddress import ip_network

import pytest
from support.console import SESSION, VISITOR, Console, set_cookies, signed_in, text_of
from support.database import DatabaseSetting, contents
from support.harness import CHROME, Caller, Service, Start

from service.config import Config
from service.domain.setting_values import TrustedProxies
from service.domain.types import Owner
from service.repositories.base_console import SESSION_SECONDS, SESSIONS_MAX
from service.security.credentials import digest_of
from service.web.app_keys import REPOSITORIES, SIGN_IN_CODES

HTTPS = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "reports.example.com"}


async def test_sign_in_with_a_key_opens_the_console(service: Service, alice: Caller) -> None:
    console = Console(service)
    answer = await console.get("/videos")
    assert (answer.status, answer.headers["Location"]) == (303, "sign-in")
    form = await console.get("/sign-in")
    assert form.status == 200
    answer = await console.sign_in(alice.key)
    assert (answer.status, answer.headers["Location"]) == (303, "videos")
    assert (await console.get("/videos")).status == 200
    # A browser that is signed in is not asked again.
    assert (await console.get("/sign-in")).headers["Location"] == "videos"
    assert (await console.get("")).headers["Location"] == "console/videos"


async def test_sign_in_rejects_what_is_no_working_key(service: Service, alice: Caller) -> None:
    console = Console(service)
    for key in ("", "x", f"lvz_live_{'0' * 64}"):
        answer = await console.sign_in(key)
        assert answer.status == 401
        assert SESSION not in console.cookies
    assert "does not exist or is not active" in text_of(answer)
    assert alice.key is not None
    assert (await console.sign_in(f"  {alice.key}\n")).status == 303  # pasted with a line end


async def test_cookie_is_out_of_reach_of_scripts_and_other_sites(
    service: Service, alice: Caller
) -> None:
    console = Console(service)
    visitor = set_cookies(await console.get("/sign-in"))[VISITOR]
    session = set_cookies(await console.sign_in(alice.key))[SESSION]
    for line in (visitor, session):
        assert line.endswith("; Path=/console; HttpOnly; SameSite=Strict")
    ended = set_cookies(await console.submit("/videos", to="/sign-out"))[SESSION]
    assert ended == f"{SESSION}=; Path=/console; HttpOnly; SameSite=Strict; Max-Age=0"


async def test_cookie_has_the_host_prefix_behind_https(start: Start, config: Config) -> None:
    proxies = TrustedProxies((ip_network("127.0.0.0/8"),))
    service = await start(dataclasses.replace(config, trusted_proxies=proxies))
    console = Console(service, **HTTPS)
    line = set_cookies(await console.sign_in(service.alice.key))[f"__Host-{SESSION}"]
    assert line.endswith("; Path=/; Secure; HttpOnly; SameSite=Strict")
    assert (await console.get("/videos")).status == 200
    # Over http the same browser would send no such cookie, and none is looked for.
    console.headers = {}
    assert (await console.get("/videos")).status == 303


async def test_sign_out_ends_the_session_on_the_server(service: Service, alice: Caller) -> None:
    console, other = await signed_in(service, alice), await signed_in(service, alice)
    kept = dict(console.cookies)
    answer = await console.submit("/videos", to="/sign-out")
    assert (answer.status, answer.headers["Location"]) == (303, "sign-in")
    assert SESSION not in console.cookies
    console.cookies = kept
    assert (await console.get("/videos")).status == 303
    assert (await other.get("/videos")).status == 200


async def test_session_ends_after_12_hours(service: Service, alice: Caller) -> None:
    console = await signed_in(service, alice)
    await service.advance(SESSION_SECONDS - 1)
    assert (await console.get("/videos")).status == 200
    await service.advance(1)
    assert (await console.get("/videos")).status == 303


@pytest.mark.parametrize("how", ["switch off", "delete"])
async def test_session_ends_with_its_key(service: Service, alice: Caller, how: str) -> None:
    spare = (await alice.post("/api/keys", {"name": "spare"})).json
    console = await signed_in(service, Caller(service.client, spare["raw_key"]))
    page = await console.get("/keys")
    path = f"/api/keys/{spare['id']}"
    if how == "delete":
        await alice.delete(path)
    else:
        await alice.patch(path, {"is_active": False})
    assert (await console.get("/videos")).status == 303
    answer = await console.send("/keys", {"csrf": token_of(page.body), "name": "late"})
    assert answer.status == 401
    assert "Nothing was changed" in text_of(answer)
    assert [
        key["name"] for key in (await alice.get("/api/keys")).json if key["name"] == "late"
    ] == []
    if how == "switch off":
        await alice.patch(path, {"is_active": True})
        assert (await console.get("/videos")).status == 303


def token_of(page: bytes) -> str:
    return page.decode().partition('name="csrf" value="')[2][:64]


async def test_sessions_of_a_key_are_bounded(service: Service, alice: Caller) -> None:
    first = await signed_in(service, alice)
    await service.advance(1)
    consoles = [await signed_in(service, alice) for _ in range(SESSIONS_MAX)]
    assert (await first.get("/videos")).status == 303
    assert [(await console.get("/videos")).status for console in consoles] == [200] * SESSIONS_MAX
    await service.advance(SESSION_SECONDS)
    await signed_in(service, alice)  # deletes those that have expired


@pytest.mark.engine("postgresql")
async def test_session_is_found_by_another_instance(start: Start) -> None:
    first, second = await start(), await start()
    console = await signed_in(first, first.alice)
    other = Console(second)
    other.cookies = console.cookies
    assert (await other.get("/videos")).status == 200
    await other.submit("/videos", to="/sign-out")
    assert (await console.get("/videos")).status == 303


async def test_guesses_are_limited_as_the_apis(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, lookup_rate_limit=2))
    console = Console(service)
    wrong = f"lvz_live_{'0' * 64}"
    assert [(await console.sign_in(wrong)).status for _ in range(2)] == [401, 401]
    answer = await console.sign_in(wrong)
    assert (answer.status, answer.headers["Retry-After"]) == (429, "30")
    assert "Wait 30 s" in text_of(answer)
    # The limit is that of the API, and a valid key is never limited.
    stranger = Caller(service.client, wrong)
    assert (await stranger.get("/api/videos")).status == 429
    assert (await console.get("/sign-in/nothing")).status == 429
    assert (await console.sign_in(service.alice.key)).status == 303


async def code_for(service: Service, caller: Caller) -> str:
    assert caller.key is not None
    owner = await service.app[REPOSITORIES].api_keys.owner_of(caller.key)
    return service.app[SIGN_IN_CODES].make(owner)


async def test_one_time_link_signs_in_once(service: Service, alice: Caller) -> None:
    code = await code_for(service, alice)
    console = Console(service)
    prefetched = await console.get(f"/sign-in/{code}", **{"Sec-Purpose": "prefetch"})
    assert (prefetched.status, console.cookies) == (303, {})
    page = await console.get(f"/sign-in/{code}", **{"User-Agent": CHROME})
    assert page.status == 200
    assert b'<meta http-equiv="refresh" content="0; url=../videos">' in page.body
    assert (await console.get("/videos")).status == 200
    again = await Console(service).get(f"/sign-in/{code}")
    assert again.status == 404
    assert "has been used" in text_of(again)


async def test_one_time_link_expires_in_a_minute(service: Service, alice: Caller) -> None:
    early, late = await code_for(service, alice), await code_for(service, alice)
    await service.advance(59)
    assert (await Console(service).get(f"/sign-in/{early}")).status == 200
    await service.advance(1)
    assert (await Console(service).get(f"/sign-in/{late}")).status == 404


async def test_one_time_link_ends_with_its_key(service: Service, alice: Caller) -> None:
    code = service.app[SIGN_IN_CODES].make(Owner(alice.user_id, 999))
    assert (await Console(service).get(f"/sign-in/{code}")).headers["Location"] == "../sign-in"


async def test_console_can_be_switched_off(start: Start, config: Config) -> None:
    service = await start(dataclasses.replace(config, console="off"))
    for path in ("/console", "/console/sign-in", "/console/videos"):
        assert (await service.public.get(path)).status == 404
        assert (await service.public.post(path)).status == 404
    page = await service.public.get("/", headers={"Accept": "text/html"})
    assert page.status == 200
    assert b"console" not in page.body


async def test_root_leads_a_browser_to_the_console(service: Service) -> None:
    answer = await service.public.get("/", headers={"Accept": "text/html"})
    assert answer.status == 302
    assert answer.headers["Location"].endswith("/console")
    assert (await service.public.get("/")).json["name"] == "Shared Reports"


async def test_sessions_are_stored_as_digests(
    service: Service, alice: Caller, database: DatabaseSetting
) -> None:
    console = await signed_in(service, alice)
    stored = contents(database)
    assert digest_of(console.cookies[SESSION]).encode() in stored
    assert console.cookies[SESSION].encode() not in stored
