"""Templates become bytes in short steps."""

import tracemalloc

import jinja2
import pytest

from service.web.pages import rendering


def test_render_holds_a_page_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "{% for _ in range(8_000) %}<p>{{ text }}</p>\n{% endfor %}"
    environment = jinja2.Environment(
        loader=jinja2.DictLoader({"long.html": lines}), autoescape=True, trim_blocks=True
    )
    monkeypatch.setattr(rendering, "_templates", environment)
    rendering.render("long.html", text="")
    tracemalloc.start()
    try:
        page = rendering.render("long.html", text="\x07<" * 300)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert page == (b"<p>" + b"&lt;" * 300 + b"</p>\n") * 8_000
    assert peak < 2 * len(page)
