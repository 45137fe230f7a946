"""A two-hour film of 15 modules and 7,391 findings, as a platform would analyse it."""

from math import sin
from typing import Any

FINDINGS = 7_391
SECONDS = 7_200.0

_SPEAKERS = ("Ann Marsh", "Ben Okoro", "Chloé Durand", "narrator")
_TEXT = (
    "the river was higher than anyone had seen it and the old bridge would not hold we had to "
    "leave the village before the evening train with everything that fits into one red car"
)
_WORDS = _TEXT.split()
_THINGS = ("person", "car", "bicycle", "dog", "bridge", "boat", "tree", "traffic light", "bag")
_MOODS = ("calm", "tense", "happy", "sad")


def _spread(n: int, of: int) -> float:
    """A number from 0 to 1 that is the same at every call."""
    return (n * 7_919 + of * 104_729) % 1_000 / 1_000


def _words(n: int, count: int) -> str:
    return " ".join(_WORDS[(n * 13 + i * (n % 5 + 1)) % len(_WORDS)] for i in range(count))


def _box(n: int) -> dict[str, Any]:
    return {"x": n % 640, "y": n % 360, "w": 40 + n % 90, "h": 30 + n % 70}


def _scalar(n: int, name: str) -> float:
    wave = 0.5 + 0.3 * sin(n / 23 + len(name)) + 0.1 * sin(n / 3.1)
    return round(wave + 0.05 * _spread(n, len(name)), 3)


# Of each module: how many of 1,000 findings, seconds that one lasts, content, metadata.
_MODULES: dict[str, tuple[int, float, Any, Any]] = {
    "transcription": (
        *(130, 4.8, lambda n: f"{_words(n, 9 + n % 9).capitalize()}."),
        lambda n: {"speaker": _SPEAKERS[n // 3 % 7 % 4], "confidence": _scalar(n, "t")},
    ),
    "scenes": (
        *(110, 8.0, lambda n: f"Scene {n + 1}"),
        lambda n: {"start_frame": n * 240, "end_frame": n * 240 + 239},
    ),
    "visualelements": (
        *(100, 9.0, lambda n: f"Brightness {n * 7 % 80} %; dominant hue {('cyan', 'red')[n % 2]}"),
        lambda n: {
            "brightness": _scalar(n, "brightness"),
            "saturation": _scalar(n, "s"),
            "motion": round(9 * _scalar(n // 4, "m"), 2),
            "dominant_hue": ("cyan", "red", "green")[n * n % 3],
        },
    ),
    "objects": (
        *(180, 2.0, lambda n: _THINGS[n * n % 9]),
        lambda n: {"label": _THINGS[n * n % 9], "score": _scalar(n, "o"), "box": _box(n)},
    ),
    "faces": (
        *(90, 3.0, lambda n: f"Face of {_SPEAKERS[n % 3]}"),
        lambda n: {"identity": _SPEAKERS[n % 3], "box": _box(n), "similarity": _scalar(n, "f")},
    ),
    "emotions": (
        *(60, 6.0, lambda n: f"{_MOODS[n // 4 % 4]} mood"),
        lambda n: {"emotion": _MOODS[n // 4 % 4], "valence": _scalar(n, "valence")},
    ),
    "ocr": (*(60, 3.0, lambda n: f"ROAD {n % 40} NORTH"), lambda _: {"language": "en"}),
    "logos": (*(20, 4.0, lambda n: ("Kodak", "Shell")[n % 2]), lambda n: {"box": _box(n)}),
    "shots": (
        *(80, 9.0, lambda n: f"{('wide', 'medium', 'close')[n % 3]} shot"),
        lambda n: {"size": ("wide", "medium", "close")[n % 3], "is_moving": n % 4 == 0},
    ),
    "audio_events": (*(50, 2.5, lambda n: ("rain", "applause", "engine")[n % 3]), lambda _: None),
    "music": (*(12, 45.0, lambda n: f"Theme {n % 5 + 1}"), lambda n: {"tempo": 70 + n * 7 % 60}),
    "actions": (
        *(50, 5.0, lambda n: ("walking", "driving", "talking", "running")[n % 4]),
        lambda n: {"people": n % 5 + 1},
    ),
    "sentiment": (
        *(35, 20.0, lambda n: f"Sentiment {_scalar(n, 'sentiment')}"),
        lambda n: {"score": _scalar(n, "sentiment")},
    ),
    "topics": (*(15, 90.0, lambda n: ("flood", "family")[n % 2]), lambda n: {"rank": n % 3}),
    "chapters": (*(8, 120.0, lambda n: f"Chapter {n + 1}: {_words(n, 4)}"), lambda _: None),
}


def film() -> dict[str, Any]:
    """The export of the film."""
    shares = {name: module[0] for name, module in _MODULES.items()}
    counts = {name: FINDINGS * share // sum(shares.values()) for name, share in shares.items()}
    counts["objects"] += FINDINGS - sum(counts.values())
    segments = []
    for name, (_, seconds, content, metadata) in _MODULES.items():
        for n in range(counts[name]):
            even = (n + 0.4 * _spread(n, len(name))) / counts[name]
            pace = 0.035 * sin(12.6 * even + len(name)) + 0.01 * sin(31 * even)
            start = round(min(max(even + pace * even * (1 - even) * 4, 0), 0.999) * SECONDS, 2)
            end = min(round(start + seconds, 2), SECONDS)
            segments.append(
                {
                    "module": name,
                    "content": content(n),
                    "start_time": start,
                    "end_time": end,
                    "metadata": metadata(n),
                    "created_at": "2026-11-23T17:00:00",
                }
            )
    return {
        "video_name": "The River, final cut.mp4",
        "duration": SECONDS,
        "status": "completed",
        "segments": segments,
    }
