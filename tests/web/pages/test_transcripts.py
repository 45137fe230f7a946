"""Transcripts: who speaks, and one WebVTT file for each module."""

import re
from html import unescape
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.harness import Caller, segment

from service.domain.segments import SPEAKER_MAX, speaker_of
from service.domain.videos import Segment
from service.web.pages.captions import as_webvtt

THREE = [
    segment(0, 1, "scenes", content="Scene 1"),
    segment(0, 1, "transcription", content="Guten Tag", metadata={"speaker": "Ann"}),
    segment(0, 1, "captions", content="Hello"),
    segment(0, 1, "subtitles", content="Bonjour"),
    segment(2, 3, "transcription", content="Ja", metadata={"speaker": "B & <C>\n> d"}),
    segment(2, 3, "captions", content="Yes", metadata={"speaker": 7}),
]


async def shared(alice: Caller, segments: list[dict[str, Any]], **fields: Any) -> str:
    await alice.put_video(segments=segments)
    return f"/r/{(await alice.share(**fields))['share_hash']}"


async def test_webvtt_has_one_module_and_its_speakers(alice: Caller, public: Caller) -> None:
    path = await shared(alice, THREE)
    first = (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:01.000\n<v Ann>Guten Tag\n\n"
        "00:00:02.000 --> 00:00:03.000\n<v B &amp; &lt;C&gt; &gt; d>Ja\n"
    )
    captions = (
        "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nHello\n\n00:00:02.000 --> 00:00:03.000\nYes\n"
    )
    for query, text in {
        "": first,
        "?module=transcription": first,
        "?module=captions": captions,
        "?module=scenes": "WEBVTT\n\n00:00:00.000 --> 00:00:01.000\nScene 1\n",
        "?module=none": "WEBVTT\n",
        "?module=": "WEBVTT\n",
    }.items():
        answer = await public.get(f"{path}/transcript.vtt{query}")
        assert answer.headers["Content-Type"].startswith("text/vtt")
        assert answer.body.decode() == text, query


async def test_webvtt_shows_no_module_that_its_link_hides(alice: Caller, public: Caller) -> None:
    path = await shared(alice, THREE, modules=["captions"])
    assert b"Hello" in (await public.get(f"{path}/transcript.vtt")).body
    hidden = await public.get(f"{path}/transcript.vtt?module=transcription")
    assert hidden.body == b"WEBVTT\n"


async def test_page_links_a_webvtt_file_for_each_transcript(alice: Caller, public: Caller) -> None:
    path = await shared(alice, [*THREE, segment(9, 10, "Speech", content="x")])
    page = (await public.get(path)).body.decode()
    links = [unescape(link) for link in re.findall(r'href="[^"]*/(transcript.vtt[^"]*)"', page)]
    assert links == [
        "transcript.vtt",
        "transcript.vtt?module=captions",
        "transcript.vtt?module=subtitles",
        "transcript.vtt?module=Speech",
    ]
    assert "WebVTT (<bdi>captions</bdi>)" in page
    only = await shared(alice, THREE[:2])
    page = (await public.get(only)).body.decode()
    assert re.findall(r"download>(WebVTT.*?)</a>", page) == ["WebVTT"]


async def test_page_shows_the_speaker_before_the_text(alice: Caller, public: Caller) -> None:
    page = (await public.get(await shared(alice, THREE))).body.decode()
    assert '<p dir="auto"><b><bdi>Ann</bdi>:</b> Guten Tag</p>' in page
    assert '<p dir="auto"><b><bdi>B &amp; &lt;C&gt; &gt; d</bdi>:</b> Ja</p>' in page
    assert page.count("<bdi>7</bdi>") == 0


@pytest.mark.parametrize(
    ("metadata", "speaker"),
    [
        (None, ""),
        ([], ""),
        ("speaker", ""),
        ({}, ""),
        ({"speaker": None}, ""),
        ({"speaker": {"name": "x"}}, ""),
        ({"speaker": " \n "}, ""),
        ({"speaker": " SPEAKER_00\r\n\u2028x "}, "SPEAKER_00 x"),
        ({"speaker": "é" * 200}, "é" * SPEAKER_MAX),
    ],
)
def test_speaker_of_is_one_short_line(metadata: Any, speaker: str) -> None:
    assert speaker_of(metadata) == speaker


@settings(deadline=None)  # a busy machine takes long for some examples
@given(st.text(max_size=30), st.text(max_size=30))
def test_webvtt_speakers_never_break_a_cue(speaker: str, content: str) -> None:
    spoken = Segment("1", "j", "speech", f"x{content}", 0, 1, {"speaker": speaker}, "")
    lines = as_webvtt([spoken]).decode().split("\n")
    assert lines[2] == "00:00:00.000 --> 00:00:01.000"
    voice = re.match(r"<v ([^<>\n\r]+)>", lines[3])
    assert bool(voice) == bool(speaker.split())
    if voice:
        assert unescape(voice[1]).split() == unescape(voice[1]).split(" ")
    rest = "\n".join(lines[3:])[voice.end() if voice else 0 :]
    assert "<" not in rest
    assert ">" not in rest
    assert "\n\n" not in rest.removesuffix("\n")
