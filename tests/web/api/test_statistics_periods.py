"""The period of statistics: `interval`, `from` and `to`, and the buckets of the answer."""

import pytest
from support.harness import Service, is_problem

NOTHING = {"views": 0, "bots": 0, "pages": 0, "api": 0, "downloads": 0}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("interval=week", "`interval` is one of hour, day."),
        ("from=yesterday", "`from` is not an ISO 8601 date-time."),
        ("to=x", "`to` is not an ISO 8601 date-time."),
        ("from=2025-01-02&to=2025-01-02", "`from` is not before `to`."),
        ("interval=hour&from=2024-12-01", "an answer has 750 at most"),
        ("Interval=hour", "Unknown query parameters: `Interval`."),
    ],
)
async def test_statistics_of_a_wrong_period_are_refused(
    service: Service, query: str, said: str
) -> None:
    await service.alice.put_video()
    for path in ("/api/videos/job-1", f"/api/shared-reports/{(await service.alice.share())['id']}"):
        answer = await service.alice.get(f"{path}/views?{query}")
        assert is_problem(answer, 422, "invalid-request")
        assert said in answer.json["detail"]


@pytest.mark.parametrize(
    ("query", "first", "last", "count"),
    [
        ("", "2024-12-17", "2025-01-15", 30),
        ("to=2025-01-10", "2024-12-11", "2025-01-09", 30),
        ("to=2025-01-10T00:00:01", "2024-12-12", "2025-01-10", 30),
        ("from=2025-01-10T23:00:00&to=2025-01-11T01:00:00", "2025-01-10", "2025-01-11", 2),
        ("from=2025-01-14T00:00:00%2B02:00", "2025-01-13", "2025-01-15", 3),
        ("from=0001-01-01&to=9999-12-31", "2023-12-12", "2025-01-15", 401),
        ("interval=hour", "2024-12-16T11", "2025-01-15T10", 720),
        ("interval=hour&from=2025-01-15", "2025-01-15T00", "2025-01-15T10", 11),
        ("from=2026-01-01", "", "", 0),
        ("to=0001-01-01", "", "", 0),
    ],
)
async def test_statistics_have_a_bucket_for_each_hour_or_day(
    service: Service, query: str, first: str, last: str, count: int
) -> None:
    await service.alice.put_video()
    answer = await service.alice.get(f"/api/videos/job-1/views?{query}")
    buckets = answer.json["buckets"]
    assert len(buckets) == count
    assert all({name: bucket[name] for name in NOTHING} == NOTHING for bucket in buckets)
    if count:
        assert buckets[0]["start"].startswith(first)
        assert buckets[-1]["start"].startswith(last)
