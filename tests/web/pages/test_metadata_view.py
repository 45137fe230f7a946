"""Metadata on the page: text at every depth, cut where it is too much, and never a failure."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.database import change_segments
from support.harness import Caller, Service, segment
from support.pages import MARKUP, text

from service.web.app_keys import CONFIG
from service.web.pages.metadata_view import TEXT_SHOWN, VALUES_SHOWN, metadata_html


def nested(depth: int, value: Any = "the bottom") -> Any:
    for level in range(depth):
        value = [value] if level % 2 else {f"k{level}": value}
    return value


async def page_of(service: Service, segments: bytes) -> Any:
    """The page of a finding as an earlier release may have stored it; the list shows it, too."""
    await service.alice.put_video(segments=[segment(0, 1)])
    change_segments(service.app[CONFIG].database, lambda _: segments)
    share_hash = (await service.alice.share())["share_hash"]
    listed = await service.public.get(f"/r/{share_hash}")
    assert listed.status == 200
    assert "All of it" in text(listed)
    return await service.public.get(f"/r/{share_hash}?entry=0")


def stored(metadata: bytes, module: str = "m") -> bytes:
    return (
        b'{"id":"1","job_id":"j","module":"%b","content":"","start_time":0.0,"end_time":1.0,'
        b'"metadata":%b,"created_at":"2025-01-15T10:00:00"}' % (module.encode(), metadata)
    )


@pytest.mark.parametrize("depth", [6, 7, 30])
async def test_metadata_view_shows_text_at_every_depth(
    alice: Caller, public: Caller, depth: int
) -> None:
    metadata = nested(depth, {"größe": "<b>ü</b>", "none": None, "empty": []})
    await alice.put_video(segments=[segment(0, 1, metadata=metadata)])
    path = f"/r/{(await alice.share())['share_hash']}"
    answer = await public.get(f"{path}?entry=0")
    listed = (await public.get(path)).body.decode()
    assert "größe: &lt;b&gt;ü&lt;/b&gt;" in listed
    assert "All of it" not in listed
    body = answer.body.decode()
    assert "größe</dt>" in body
    assert "&lt;b&gt;ü&lt;/b&gt;" in body
    assert "\\u00" not in body
    assert "Shortened" not in text(answer)


async def test_metadata_view_cuts_one_entry_larger_than_a_page(
    alice: Caller, public: Caller
) -> None:
    large = {f"k{n}": n for n in range(9_000)}
    await alice.put_video(
        segments=[segment(0, 1, metadata=large), segment(1, 2, metadata="x" * 10**6)]
    )
    share_hash = (await alice.share())["share_hash"]
    listed = (await public.get(f"/r/{share_hash}")).body.decode()
    assert "k11: 11" in listed
    assert "k12:" not in listed
    assert len(listed) < 50_000
    assert listed.count("All of it") == 2
    body = (await public.get(f"/r/{share_hash}?entry=0")).body.decode()
    assert '<dt dir="auto">k999</dt><dd>999</dd>' in body
    assert "k1000<" not in body
    text_only = (await public.get(f"/r/{share_hash}?entry=1")).body.decode()
    for page in (body, text_only):
        assert len(page) < 150_000
        assert page.count(f'<a href="{share_hash}/analysis.json" download>Download all</a>') == 1


@pytest.mark.parametrize("depth", [40, 988])
async def test_metadata_view_shows_what_was_stored_deeper(service: Service, depth: int) -> None:
    metadata = b'{"k0":[' * (depth // 2) + b'"unseen"' + b"]}" * (depth // 2)
    answer = await page_of(service, b"[%b]" % stored(metadata))
    assert answer.status == 200
    assert "unseen" not in text(answer)
    assert "Shortened. Download all" in text(answer)


async def test_metadata_view_shows_what_was_stored_larger(service: Service) -> None:
    metadata = b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(200_000)) + b"}"
    answer = await page_of(service, b"[%b]" % stored(metadata))
    assert answer.status == 200
    assert len(answer.body) < 300_000


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text('a<&"', max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("b>", max_size=3), inner),
    max_leaves=20,
)


@given(values)
def test_metadata_view_is_balanced_and_complete(value: Any) -> None:
    html = str(metadata_html(value, "x"))
    stack: list[str] = []
    for tag in MARKUP.findall(html):
        if tag.startswith("</"):
            assert stack.pop() == tag[2:-1]
        else:
            stack.append(tag[1:-1].split()[0])
    assert not stack
    assert html.count("<li>") + html.count("<dt") == count(value) - 1


def count(value: Any) -> int:
    children = value.values() if isinstance(value, dict) else value
    return 1 + sum(map(count, children)) if isinstance(value, dict | list) else 1


def test_metadata_view_is_bounded() -> None:
    large: list[Any] = [[0] * 10**6, {"x" * 10**6: 1}, ["y" * 10**6] * 3, [[[]] * 10**5] * 10]
    for value in large:
        html = metadata_html(value, "x")
        assert len(html) < 40 * VALUES_SHOWN + TEXT_SHOWN
        assert html.endswith("Download all</a></p>")
