"""Lists of links: the engine makes their JSON, and it is what msgspec makes of the links."""

from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.harness import Caller, Service
from support.links import LIST, change

from service.domain.links import SharedReport
from service.web.app_keys import REPOSITORIES

HOSTILE = [
    "\"\\/'`",
    "".join(map(chr, range(1, 0x20))) + "\x7f\x80\x9f",
    "\u2028\u2029\ufeff\uffff\u200b",
    "ä ☀ 𝄞 \U0010ffff",
    "\\u0041 \\n %00 {{}} [1,2] null",
    "\n\r\n},{",
    "n" * 100,
    "",
]
TEXTS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30
) | st.sampled_from(HOSTILE)


@pytest.fixture
async def alice(service: Service) -> Caller:
    await service.alice.put_video()
    return service.alice


async def assert_is_msgspec_json(service: Service, count: int) -> None:
    """The lists are the encoding of the links as they are got one by one."""
    body = (await service.alice.get("/api/shared-reports?limit=200")).body
    lists = service.app[REPOSITORIES].link_lists
    ids = [link["id"] for link in msgspec.json.decode(body)]
    links = [await lists.get(service.alice.user_id, each) for each in ids]
    assert len(links) == count
    assert body == msgspec.json.encode(links)
    assert (await service.alice.get(LIST)).body == body


@pytest.mark.parametrize("text", HOSTILE)
async def test_list_encodes_each_text_as_msgspec(service: Service, alice: Caller, text: str) -> None:
    names = [text] if text else []
    link = await alice.share(label=text, note=text, sender=text, modules=names)
    await assert_is_msgspec_json(service, 1)
    [listed] = (await alice.get(LIST)).json
    assert listed == link


async def test_list_encodes_any_text_as_msgspec(service: Service, alice: Caller) -> None:
    count = 0

    @settings(
        max_examples=1, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(st.lists(st.fixed_dictionaries({name: TEXTS for name in ("label", "note", "sender")}), min_size=30, max_size=30))
    def collect(fields: list[dict[str, str]]) -> None:
        drawn[:] = fields

    drawn: list[dict[str, Any]] = []
    collect()
    for fields in drawn:
        await alice.share(**fields)
        count += 1
    await assert_is_msgspec_json(service, count)
