"""What a viewer takes along can be read by what it is made for."""

import csv
import io
import json
import re
import tracemalloc
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.harness import Caller, sample, segment

from service.domain.segments import decode_segments, select_modules
from service.domain.videos import Segment
from service.web.pages import downloads
from service.web.pages.captions import as_srt, as_webvtt
from service.web.pages.downloads import as_csv


async def download(alice: Caller, public: Caller, file: str, **fields: Any) -> str:
    await alice.put_video(**fields)
    share_hash = (await alice.share())["share_hash"]
    answer = await public.get(f"/r/{share_hash}/{file}")
    assert answer.status == 200
    return answer.body.decode()


async def test_json_download_holds_the_public_report_and_its_segments(
    alice: Caller, public: Caller
) -> None:
    document = json.loads(
        await download(alice, public, "analysis.json", segments=sample()["segments"])
    )
    assert document["video"]["name"] == "Product Demo"
    assert "user_id" not in document["video"]
    given = sorted(sample()["segments"], key=lambda each: each["start_time"])
    assert document["segments"] == [each | {"job_id": "job-1"} for each in given]


async def test_csv_has_one_row_for_each_segment(alice: Caller, public: Caller) -> None:
    segments = [
        segment(0, 1.5, content='a "quoted", text\nof two lines', metadata={"n": 1}),
        segment(2, 3, "faces", content="ü 🎬", metadata=None),
    ]
    text = await download(alice, public, "analysis.csv", segments=segments)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows == [
        {
            "id": "1",
            "module": "scenes",
            "start_time": "0.0",
            "end_time": "1.5",
            "content": 'a "quoted", text\nof two lines',
            "metadata": '{"n":1}',
        },
        {
            "id": "1",
            "module": "faces",
            "start_time": "2.0",
            "end_time": "3.0",
            "content": "ü 🎬",
            "metadata": "",
        },
    ]


@pytest.mark.parametrize("formula", ['=HYPERLINK("x")', "+1", "-1", "@SUM(A1)", "\t=1"])
async def test_csv_cells_are_never_formulas(alice: Caller, public: Caller, formula: str) -> None:
    text = await download(
        alice, public, "analysis.csv", segments=[segment(0, 1, formula, content=formula)]
    )
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert row["content"] == row["module"] == f"'{formula}".replace("\t=", "\t'=")


async def test_webvtt_holds_the_transcript(alice: Caller, public: Caller) -> None:
    segments = [
        segment(0, 7.95, "transcription", content="first  "),
        segment(8, 8, "transcription", content="a <b> & --> c\n\n\nd"),
        segment(9, 10, "scenes", content="not speech"),
        segment(11, 12, "transcription", content="  "),
        segment(3661.5, 3662, "transcription", content="late"),
    ]
    assert await download(alice, public, "transcript.vtt", segments=segments) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:07.950\nfirst\n\n"
        "00:00:08.000 --> 00:00:08.001\na &lt;b&gt; &amp; --&gt; c\nd\n\n"
        "01:01:01.500 --> 01:01:02.000\nlate\n"
    )


async def test_srt_holds_the_transcript(alice: Caller, public: Caller) -> None:
    segments = [
        segment(0, 7.95, "transcription", content="first  ", metadata={"speaker": "Ann"}),
        segment(8, 8, "transcription", content="a <b> {x} --> c\n\n\nd"),
        segment(9, 10, "scenes", content="not speech"),
        segment(11, 12, "transcription", content="  "),
        segment(3661.5, 3662, "transcription", content="late"),
    ]
    assert await download(alice, public, "transcript.srt", segments=segments) == (
        "1\r\n00:00:00,000 --> 00:00:07,950\r\nAnn: first\r\n\r\n"
        "2\r\n00:00:08,000 --> 00:00:08,001\r\n"
        "a <\u2060b> {\u2060x} --\u2060> c\r\nd\r\n\r\n"
        "3\r\n01:01:01,500 --> 01:01:02,000\r\nlate\r\n\r\n"
    )
    assert await download(alice, public, "transcript.srt") == ""


async def test_webvtt_without_speech_has_no_cues(alice: Caller, public: Caller) -> None:
    assert await download(alice, public, "transcript.vtt") == "WEBVTT\n"


async def test_download_is_named_after_its_video(alice: Caller, public: Caller) -> None:
    for name, file, full in (
        ("My Video (final).mp4", "My-Video-final-.mp4.csv", None),
        ("../../etc/passwd", "etc-passwd.csv", None),
        ("видео", "report.csv", "видео.csv"),
        ("会議.mp4", "report.mp4.csv", "会議.mp4.csv"),
        ("Ménage à trois.mov", "M-nage-trois.mov.csv", "Ménage à trois.mov.csv"),
        ("../ö\u202e/\x7f;'.mp4", "report.mp4.csv", "ö---;'.mp4.csv"),
        ("é" * 200, "report.csv", "é" * 80 + ".csv"),
        ('a"\r\nX: y', "a-X-y.csv", None),
    ):
        await alice.put_video(video_name=name)
        share_hash = (await alice.share())["share_hash"]
        headers = (await public.get(f"/r/{share_hash}/analysis.csv")).headers
        plain, _, extended = headers["Content-Disposition"].partition("; filename*=UTF-8''")
        assert plain == f'attachment; filename="{file}"'
        assert re.fullmatch(r"[A-Za-z0-9._~%-]*", extended)
        assert unquote(extended) == (full or "")


@pytest.mark.parametrize(
    "formula",
    ["\n=1", " =1", "\ufeff=1", "\u00a0@x", "\u200b+1", "\uff1d1", " \uff0b1", "\x01-1"],
)
async def test_csv_guard_covers_what_spreadsheets_skip(
    alice: Caller, public: Caller, formula: str
) -> None:
    segments = [segment(0, 1, id=formula, content=formula), segment(1, 2, content="a =1 b-c")]
    text = await download(alice, public, "analysis.csv", segments=segments)
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    assert rows[0]["content"] == rows[0]["id"] == f"'{formula}".replace("\n=", "\n'=")
    assert rows[1]["content"] == "a =1 b-c"


async def test_csv_quotes_every_text_and_no_number(alice: Caller, public: Caller) -> None:
    segments = [
        segment(0, 1.5, content='x;=1+1 "', metadata={"a": '"'}),
        segment(2, 3, metadata=-5),
    ]
    text = await download(alice, public, "analysis.csv", segments=segments)
    assert text == (
        '"id","module","start_time","end_time","content","metadata"\r\n'
        '"1","scenes",0.0,1.5,"x;\'=1+1 ""","{""a"":""\\""""}"\r\n'
        '"2","scenes",2.0,3.0,"…","\'-5"\r\n'
    )
    rows: Any = csv.reader(io.StringIO(text, newline=""), quoting=csv.QUOTE_NONNUMERIC)
    assert [row[2:4] for row in rows][1:] == [[0.0, 1.5], [2.0, 3.0]]


async def test_csv_for_excel_begins_with_a_byte_order_mark(alice: Caller, public: Caller) -> None:
    await alice.put_video(segments=[segment(0, 1, content="für 会議")])
    share_hash = (await alice.share())["share_hash"]
    page = (await public.get(f"/r/{share_hash}")).body.decode()
    links = re.findall(r'<a href="([^"]+csv[^"]*)" download>([^<]+)</a>', page)
    assert links == [
        (f"{share_hash}/analysis.csv", "CSV"),
        (f"{share_hash}/analysis.csv?excel=1", "CSV for Excel"),
    ]
    plain, for_excel = [(await public.get(f"/r/{path}")) for path, _ in links]
    assert for_excel.body == b"\xef\xbb\xbf" + plain.body
    assert for_excel.headers["Content-Disposition"] == plain.headers["Content-Disposition"]
    for query in ("?excel=0", "?excel", "?utm_source=x"):
        assert (await public.get(f"/r/{share_hash}/analysis.csv{query}")).body == plain.body


SEPARATED = st.text("a;|\t\n\r\u2028 \"\\,=-\uff1d\ufeff'", max_size=12)


@given(SEPARATED, SEPARATED, SEPARATED, st.sampled_from(",;\t|"))
@example("a;=1+1;b", "1", "|=3", ";")
@example("a\n=2+2;b", "1", ";=3", ";")
@example('a;"=1', "1", ' \t "=3', "\t")
def test_csv_has_no_formula_by_any_separator(
    content: str,
    segment_id: str,
    inner: str,
    separator: str,
) -> None:
    metadata = {inner: [inner, -1]}
    segments = [
        segment(0, 1, id=segment_id, content=content, metadata=metadata, created_at=""),
        segment(1, 2, id="2", content=content, metadata=metadata, created_at=""),
    ]
    text = as_csv(msgspec.json.encode(segments)).decode()
    for skips_blanks in (False, True):
        file = io.StringIO(text, newline="")
        for row in csv.reader(file, delimiter=separator, skipinitialspace=skips_blanks):
            for cell in row:
                assert not re.match(r"[\s\ufeff]*[=\-\uff1d]", cell)
    _, row, _ = csv.reader(io.StringIO(text, newline=""))
    assert json.loads(row[5]) == metadata
    assert row[4].replace("'", "") == content.replace("'", "")


@given(SEPARATED, SEPARATED, st.integers(1, 8))
@example("a; =1", ";;  \n=1", 2)
@example("; =1", ";", 3)
def test_csv_of_a_long_cell_is_that_of_its_pieces(content: str, inner: str, step: int) -> None:
    metadata = {"\u00fc": inner}
    segments = [segment(0, 1, id="1", content=content, metadata=metadata, created_at="")]
    stored = msgspec.json.encode(segments)
    whole = as_csv(stored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloads, "_STEP", step)
        assert as_csv(stored) == whole


def test_csv_writes_metadata_larger_than_a_step() -> None:
    metadata = b'{"a":"' + b'\\"' * 3 * 2**20 + b'"}'
    stored = (
        b'[{"id":"1","job_id":"j","module":"m","content":"","start_time":0.0,"end_time":1.0,'
        b'"metadata":%b,"created_at":"2025-01-15T10:00:00"}]' % metadata
    )
    lines = as_csv(stored).split(b"\r\n")
    assert lines[1] == b'"1","m",0.0,1.0,"","%b"' % metadata.replace(b'"', b'""')


@given(st.floats(0, 1e5), st.floats(0, 0.01))
def test_webvtt_cues_end_after_they_start(start: float, length: float) -> None:
    spoken = Segment("1", "j", "transcription", "x", start, start + length, None, "")
    times = re.findall(r"(\d+):(\d\d):(\d\d)\.(\d\d\d)", as_webvtt([spoken]).decode())
    first, last = (
        int(h) * 3_600_000 + int(m) * 60_000 + int(s) * 1000 + int(ms) for h, m, s, ms in times
    )
    assert first < last
    assert abs(first - start * 1000) <= 0.5001


@pytest.mark.parametrize(("start", "end"), [(12.3455, 12.3455), (1.0015, 1.0025), (0, 0.0004)])
def test_webvtt_cues_of_a_moment_last_a_millisecond(start: float, end: float) -> None:
    spoken = Segment("1", "j", "transcription", "x", start, end, None, "")
    first, last = re.findall(r"[\d:.]{12}", as_webvtt([spoken]).decode())
    assert first < last


LONG = msgspec.json.encode(
    [
        segment(n, n + 1, "transcription", id=str(n), content="x" * 2_000, created_at="")
        | {"metadata": None}
        for n in range(2_000)
    ]
)


@pytest.mark.parametrize(
    "make",
    [
        as_csv,
        lambda stored: as_webvtt(decode_segments(stored)),
        lambda stored: as_srt(decode_segments(stored)),
        lambda stored: select_modules(stored, {"transcription"}),
    ],
    ids=["csv", "webvtt", "srt", "modules"],
)
def test_download_is_written_without_a_second_copy(make: Callable[[bytes], bytes]) -> None:
    tracemalloc.start()
    try:
        size = len(make(LONG))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 4_000_000
    assert peak < 1.5 * size
