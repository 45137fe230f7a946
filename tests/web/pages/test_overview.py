"""The overview tells what a person would want to know, of modules that nobody has seen, too."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.film import film
from support.harness import segment

from service.domain.videos import PublicVideo
from service.web.pages.cards import Card
from service.web.pages.overview import CARDS_MAX, overview
from service.web.pages.plots import Window
from service.web.pages.report_index import ReportIndex

VIDEO = PublicVideo("1", "j", "v", "completed", None, None, "", "", ())


def cards_of(segments: list[dict[str, Any]]) -> list[Card]:
    filled = [{"id": "1", "metadata": None, "created_at": ""} | each for each in segments]
    filled.sort(key=lambda each: each["start_time"])
    index = ReportIndex(VIDEO, msgspec.json.encode(filled))
    return overview(index, range(len(index)), Window(0, index.duration))


def card_of(*metadata: Any, module: str = "m", contents: tuple[str, ...] = ()) -> Card:
    texts = contents or tuple(f"finding {n}" for n in range(len(metadata)))
    [card] = cards_of(
        [
            segment(n, n + 0.5, module, content=text, metadata=each)
            for n, (text, each) in enumerate(zip(texts, metadata, strict=True))
        ]
    )
    return card


def test_card_counts_findings_and_the_time_they_cover() -> None:
    cards = cards_of(
        [
            *(segment(0, 4, "one"), segment(1, 3, "one"), segment(6, 7, "one")),
            *(segment(2, 2, "moments"), segment(3, 3, "moments")),
            segment(0, 10, "whole"),
        ]
    )
    assert {(card.name, card.count, card.covers) for card in cards} == {
        ("one", 3, 50),
        ("moments", 2, None),
        ("whole", 1, 100),
    }


def test_card_tells_the_values_that_recur() -> None:
    card = card_of(
        *({"label": "car", "id": f"x{n}", "seen": True, "on": {"road": "A1"}} for n in range(6)),
        *({"label": "bus", "id": f"y{n}", "seen": n > 0, "tags": ["red", "big"]} for n in range(2)),
    )
    told = {
        tally.name: [(share.value, share.percent) for share in tally.shares]
        for tally in card.tallies
    }
    assert told == {
        "label": [("car", 75), ("bus", 25)],
        "seen": [("yes", 88), ("no", 12)],
        "tags": [("red", 50), ("big", 50)],
        "on \u203a road": [("A1", 100)],
    }


def test_card_tells_contents_that_recur_unless_metadata_says_the_same() -> None:
    moods = ("calm", "tense", "calm")
    [tally] = card_of({}, None, [], contents=moods).tallies
    assert (tally.name, tally.shares[0].value) == ("", "calm")
    same = card_of(*({"mood": f"{mood} mood"} for mood in moods), contents=moods)
    assert [tally.name for tally in same.tallies] == ["mood"]
    assert card_of({}, {}, {}).tallies == []  # all are different


def test_card_of_a_transcript_has_words_and_speakers() -> None:
    [card] = cards_of(
        [
            segment(0, 6, "transcription", content="one two three", metadata={"speaker": "Ann"}),
            segment(6, 8, "transcription", content="four five", metadata={"speaker": "Ben"}),
        ]
    )
    assert (card.words, card.is_in_signs, card.minutes) == (5, False, 1)
    assert card.speakers is not None
    assert [(share.value, share.percent) for share in card.speakers.shares] == [
        ("Ann", 75),
        ("Ben", 25),
    ]
    [signs] = cards_of([segment(0, 1, "speech", content="会議" * 300)])
    assert (signs.words, signs.is_in_signs, signs.minutes) == (600, True, 2)


def test_card_has_plots_of_numbers_that_move() -> None:
    card = card_of(*({"score": n % 3, "frame": n * 10, "same": 1} for n in range(9)))
    [plot] = card.plots
    assert (plot.name, plot.low, plot.high) == ("score", 0, 2)


def test_overview_of_a_film_is_told_in_a_few_facts() -> None:
    cards = {card.name: card for card in cards_of(film()["segments"])}
    assert len(cards) == 15
    assert sum(card.count for card in cards.values()) == 7_391
    assert [share.value for share in cards["faces"].tallies[0].shares][:1]
    assert cards["transcription"].minutes > 30
    assert [plot.name for plot in cards["visualelements"].plots] == [
        "brightness",
        "saturation",
        "motion",
    ]
    assert cards["scenes"].plots == []  # frame numbers only count
    assert cards["chapters"].tallies == []


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(st.lists(st.tuples(JSON, st.text(max_size=4), st.floats(0, 1e6)), min_size=1, max_size=12))
def test_overview_takes_any_metadata(findings: list[tuple[Any, str, float]]) -> None:
    [card] = cards_of(
        [segment(at, at + 1, "m", content=text, metadata=each) for each, text, at in findings]
    )
    assert card.count == len(findings)
    for tally in card.tallies:
        assert sum(share.count for share in tally.shares) > 0
        assert all(0 < share.percent <= 100 for share in tally.shares)


@pytest.mark.parametrize("of", ["modules", "names", "values", "long values"])
def test_overview_is_bounded(of: str) -> None:
    modules = 200 if of == "modules" else 1
    findings = [
        segment(n, n + 1, f"m{n % modules}", content="x")
        | {
            "metadata": {
                "names": {f"{n} {name}": "v" for name in range(50)},
                "values": {"k": f"{n // 2}"},
                "long values": {"k": "v" * 1_000},
            }.get(of)
        }
        for n in range(2_000)
    ]
    cards = cards_of(findings)
    assert len(cards) == min(modules, CARDS_MAX)
    assert all(len(card.tallies) <= 8 for card in cards)
    if of != "modules":
        assert [tally.name for tally in cards[0].tallies] == [""]
