"""What a viewer takes along can be read by what it is made for."""

import csv
import io
import json
from typing import Any

import pytest
from support.harness import Caller, sample, segment


async def download(alice: Caller, public: Caller, file: str, **fields: Any) -> str:
    await alice.put_video(**fields)
    share_hash = (await alice.share())["share_hash"]
    answer = await public.get(f"/r/{share_hash}/{file}")
    assert answer.status == 200
    return answer.body.decode()


async def test_the_json_is_the_public_report_and_its_segments(
    alice: Caller, public: Caller
) -> None:
    document = json.loads(
        await download(alice, public, "analysis.json", segments=sample()["segments"])
    )
    assert document["video"]["name"] == "Product Demo"
    assert "user_id" not in document["video"]
    given = sorted(sample()["segments"], key=lambda each: each["start_time"])
    assert document["segments"] == [each | {"job_id": "job-1"} for each in given]


async def test_the_csv_has_a_line_a_segment(alice: Caller, public: Caller) -> None:
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
            "id": "2",
            "module": "faces",
            "start_time": "2.0",
            "end_time": "3.0",
            "content": "ü 🎬",
            "metadata": "",
        },
    ]


@pytest.mark.parametrize("formula", ['=HYPERLINK("x")', "+1", "-1", "@SUM(A1)", "\t=1"])
async def test_no_cell_of_the_csv_is_a_formula(alice: Caller, public: Caller, formula: str) -> None:
    text = await download(
        alice, public, "analysis.csv", segments=[segment(0, 1, formula, content=formula)]
    )
    [row] = csv.DictReader(io.StringIO(text, newline=""))
    assert row["content"] == row["module"] == f"'{formula}"


async def test_the_transcript_is_webvtt(alice: Caller, public: Caller) -> None:
    segments = [
        segment(0, 7.95, "transcription", content="first  "),
        segment(8, 8, "transcription", content="a <b> & --> c\n\n\nd"),
        segment(9, 10, "scenes", content="not speech"),
        segment(11, 12, "transcription", content="  "),
        segment(3661.5, 3662, "Transcript", content="late"),
    ]
    assert await download(alice, public, "transcript.vtt", segments=segments) == (
        "WEBVTT\n\n"
        "00:00:00.000 --> 00:00:07.950\nfirst\n\n"
        "00:00:08.000 --> 00:00:08.001\na &lt;b&gt; &amp; --&gt; c\nd\n\n"
        "01:01:01.500 --> 01:01:02.000\nlate\n"
    )


async def test_a_transcript_of_no_speech_has_no_cues(alice: Caller, public: Caller) -> None:
    assert await download(alice, public, "transcript.vtt") == "WEBVTT\n"


async def test_a_file_is_named_after_its_video(alice: Caller, public: Caller) -> None:
    for name, file in (
        ("My Video (final).mp4", "My-Video-final-.mp4.csv"),
        ("../../etc/passwd", "etc-passwd.csv"),
        ("видео", "report.csv"),
        ('a"\r\nX: y', "a-X-y.csv"),
    ):
        await alice.put_video(video_name=name)
        share_hash = (await alice.share())["share_hash"]
        headers = (await public.get(f"/r/{share_hash}/analysis.csv")).headers
        assert headers["Content-Disposition"] == f'attachment; filename="{file}"'
