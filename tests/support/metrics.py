"""Helpers of the tests that read metrics."""

from support.harness import Caller


async def scrape(public: Caller) -> dict[str, float]:
    """Each sample of /metrics, by its name and labels as they are written."""
    answer = await public.get("/metrics")
    assert answer.status == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    lines = [line for line in answer.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
