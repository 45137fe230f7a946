"""One shape for every error there is: the JSON of each, pinned."""

import time
from email.utils import parsedate_to_datetime

import pytest
from support.harness import Caller, FakeClock, Service, database_of, is_problem

from service.domain.errors import ServiceError, UnavailableError
from service.web.app_keys import LIFECYCLE, NOW, REPOSITORIES, SWEEPER
from service.web.problems import STATUS

DOMAIN_ERRORS = "service.domain.errors"


def all_errors(base: type[ServiceError] = ServiceError) -> set[type[ServiceError]]:
    return {error for each in base.__subclasses__() for error in {each, *all_errors(each)}}


def test_error_classes_have_a_status_and_a_unique_code() -> None:
    # An engine's errors are subclasses of these, and answered as these.
    of_the_domain = {error for error in all_errors() if error.__module__ == DOMAIN_ERRORS}
    assert set(STATUS) == of_the_domain
    assert len({error.code for error in STATUS}) == len(STATUS)


async def test_unknown_path_is_answered_404(public: Caller) -> None:
    answer = await public.get("/api/nothing")
    assert is_problem(answer, 404, "not-found")
    assert answer.json == {
        "type": "urn:shared-reports:problem:not-found",
        "title": "Not Found",
        "status": 404,
        "detail": "There is nothing at this path.",
    }


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/api/shared-reports", {"GET", "HEAD", "POST"}),
        ("POST", "/api/shared-reports/x", {"GET", "HEAD", "PATCH", "DELETE"}),
        ("POST", "/api/videos/x/shared-reports", {"GET", "HEAD", "DELETE"}),
        ("POST", "/api/videos/x", {"GET", "HEAD", "PUT", "DELETE"}),
        ("PUT", "/api/keys/1", {"PATCH", "DELETE"}),
        ("TRACE", "/livez", {"GET", "HEAD"}),
    ],
)
async def test_wrong_method_is_answered_405(
    public: Caller, method: str, path: str, allowed: set[str]
) -> None:
    answer = await public.call(method, path)
    assert is_problem(answer, 405, "method-not-allowed")
    assert set(answer.headers["Allow"].split(",")) == allowed | {"OPTIONS"}


async def test_internal_error_leaks_nothing(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise RuntimeError("secret /path/of/ours")

    monkeypatch.setattr(service.app[REPOSITORIES].videos, "list_all", fail)
    answer = await service.alice.get("/api/videos")
    assert is_problem(answer, 500, "internal-server-error")
    assert b"secret" not in answer.body
    assert b"RuntimeError" not in answer.body


async def test_unavailable_database_is_answered_503_with_retry_after(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UnavailableError("The database can't do this now. Try again later.")

    monkeypatch.setattr(service.app[REPOSITORIES].videos, "list_all", fail)
    answer = await service.alice.get("/api/videos")
    assert is_problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "1"


async def test_responses_have_a_request_id(public: Caller) -> None:
    for path in ("/livez", "/nothing"):
        made = await public.get(path)
        assert len(made.headers["X-Request-ID"]) == 16
        kept = await public.get(path, headers={"X-Request-ID": "abc-123"})
        assert kept.headers["X-Request-ID"] == "abc-123"
        other = await public.get(path, headers={"X-Request-ID": "x" * 129})
        assert len(other.headers["X-Request-ID"]) == 16


@pytest.mark.parametrize(
    ("lane", "expected"),
    [
        ("reader", {"database_read"}),
        ("read_worker", {"database_read", "schema_version"}),
        ("writer", {"database_write"}),
    ],
)
@pytest.mark.engine("sqlite")
async def test_health_says_what_fails(
    service: Service, monkeypatch: pytest.MonkeyPatch, lane: str, expected: set[str]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise UnavailableError("The database can't do this now. Try again later.")

    monkeypatch.setattr(getattr(database_of(service.app), lane), "fetch_all", fail)
    for path in ("/readyz", "/healthz", "/api/health"):
        answer = await service.public.get(path)
        assert answer.status == 503
        assert answer.json["status"] == "unavailable"
        failing = {name for name, outcome in answer.json["checks"].items() if outcome != "ok"}
        assert failing == expected
    assert (await service.public.get("/livez")).status == 200


@pytest.mark.own_service
async def test_readiness_fails_while_the_service_stops(service: Service) -> None:
    service.app[LIFECYCLE].stopping = True
    answer = await service.public.get("/readyz")
    assert (answer.status, answer.json["checks"]["lifecycle"]) == (503, "stopping")
    assert answer.headers["Connection"] == "close"


@pytest.mark.own_service
async def test_readiness_fails_when_the_background_task_is_late(service: Service) -> None:
    sweeper = service.app[SWEEPER].task
    sweeper.due = time.monotonic() - 11
    answer = await service.public.get("/readyz")
    assert (answer.status, answer.json["checks"]["sweeper"]) == (503, "late")


async def test_health_names_each_check(public: Caller) -> None:
    for path in ("/readyz", "/healthz", "/api/health"):
        answer = await public.get(path)
        assert answer.status == 200
        names = ("database_read", "schema_version", "database_write", "sweeper", "lifecycle")
        assert answer.json["status"] == "ok"
        assert answer.json["checks"] == dict.fromkeys(names, "ok")
    assert (await public.get("/livez")).json == {"status": "ok", "checks": {}}


async def test_date_of_a_shown_link_is_before_its_expiry(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock moves on at each look at it: between a row, its token and the response's head."""
    clock = service.clock
    await service.alice.put_video()
    plain = await service.alice.share(expires_at="2025-01-15T10:00:20")
    limited = await service.alice.share(expires_at="2025-01-15T10:00:20", max_views=100)
    paths = [
        f"/api/shared-reports/{plain['share_hash']}",
        f"/api/shared-reports/{limited['share_hash']}",
        f"/api/shared-reports/{plain['share_hash']}/segments",
        f"/r/{plain['share_hash']}",
        f"/r/{plain['share_hash']}/qr.svg",
    ]
    expiry = clock.seconds + 20
    monkeypatch.setattr(service.app[NOW], "_clock", Ticking(clock))
    for path in paths:
        clock.seconds, status = expiry - 20, 200
        while status == 200:
            answer = await service.public.get(path)
            status = answer.status
            moment = parsedate_to_datetime(answer.headers["Date"]).timestamp()
            assert status != 200 or moment < expiry, path
        assert status == 410, path


class Ticking:
    """A clock that is one second later each time that it is read."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock

    def __call__(self) -> float:
        self._clock.advance(1)
        return self._clock()
