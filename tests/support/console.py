"""A browser without a window: it keeps the console's cookies, and sends the forms of its pages."""

import re
from html import unescape
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

from support.harness import Caller, Response, Service

SESSION, VISITOR = "shared_reports_console", "shared_reports_form"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


class HtmlForm:
    """A form of a page: where it is sent, and what its fields hold."""

    def __init__(self, action: str, method: str) -> None:
        self.action = action
        self.method = method
        self.fields: list[tuple[str, str]] = []

    @property
    def names(self) -> set[str]:
        return {name for name, _ in self.fields}


class _Forms(HTMLParser):
    """Reads forms as a browser does: what is not checked is not sent."""

    def __init__(self) -> None:
        super().__init__()
        self.forms: list[HtmlForm] = []
        self.controls: list[str] = []
        """The names of all controls, checked or not."""
        self._select: str | None = None
        self._textarea: str | None = None
        self._is_selected = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.forms.append(HtmlForm(given.get("action") or "", given.get("method") or "get"))
        name = given.get("name")
        if name is None or tag not in {"input", "select", "textarea"}:
            self._is_selected = tag == "option" and "selected" in given
            if self._is_selected and self._select and "value" in given:
                self._put(self._select, given["value"] or "")
                self._is_selected = False
            return
        self.controls.append(name)
        if tag == "select":
            self._select = name
        elif tag == "textarea":
            self._textarea = name
            self._put(name, "")
        elif given.get("type") not in {"radio", "checkbox"} or "checked" in given:
            self._put(name, given.get("value") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None

    def handle_data(self, data: str) -> None:
        if self._is_selected and self._select:
            self._put(self._select, data)
            self._is_selected = False
        if self._textarea is not None:
            name, value = self.forms[-1].fields[-1]
            self.forms[-1].fields[-1] = name, (value + data).removeprefix("\n")

    def _put(self, name: str, value: str) -> None:
        self.forms[-1].fields.append((name, value))


def read_forms(page: Response) -> _Forms:
    parser = _Forms()
    parser.feed(page.body.decode())
    return parser


def text_of(page: Response) -> str:
    """The text of a page without tags, its spaces folded."""
    body = re.sub(r"<style>.*?</style>", "", page.body.decode(), flags=re.DOTALL)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", body)).split())


def set_cookies(answer: Response) -> dict[str, str]:
    """The ``Set-Cookie`` lines of a response, by the cookie's name."""
    lines = answer.headers.getall("Set-Cookie", [])  # type: ignore[attr-defined] # a multidict
    return {line.partition("=")[0]: line for line in lines}


class Console:
    """A browser's tab at the console."""

    def __init__(self, service: Service, **headers: str) -> None:
        self.caller = Caller(service.client)
        self.headers = headers
        self.cookies: dict[str, str] = {}

    async def get(self, path: str, **headers: str) -> Response:
        return self._keep(await self.caller.get(f"/console{path}", headers=self._sent(headers)))

    async def send(self, path: str, fields: Any, **headers: str) -> Response:
        """POST these fields as they are, without a token of ours."""
        body = urlencode(fields, doseq=True).encode()
        sent = self._sent(FORM | headers)
        return self._keep(await self.caller.post(f"/console{path}", body, headers=sent))

    async def submit(self, page_path: str, to: str | None = None, **changes: Any) -> Response:
        """Load a page, fill in its form and send it; None leaves a field out."""
        target = page_path if to is None else to
        page = await self.get(page_path)
        assert page.status == 200, page.body
        form = fill(page, target, changes)
        return await self.send(target, form.fields)

    async def sign_in(self, key: str | None) -> Response:
        return await self.submit("/sign-in", key=key or "")

    def _sent(self, headers: dict[str, str]) -> dict[str, str]:
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        return self.headers | headers | ({"Cookie": cookie} if cookie else {})

    def _keep(self, answer: Response) -> Response:
        self.caller.client.session.cookie_jar.clear()  # each tab has cookies of its own
        for name, line in set_cookies(answer).items():
            value = line.partition("=")[2].partition(";")[0]
            self.cookies[name] = value
            if not value:
                del self.cookies[name]
        return answer


def fill(page: Response, target: str, changes: dict[str, Any]) -> HtmlForm:
    """The form of a page that is sent to ``target``, with these fields changed."""
    ending = target.rpartition("/")[2]
    forms = [form for form in read_forms(page).forms if form.method == "post"]
    [form] = [form for form in forms if (form.action or target).rpartition("/")[2] == ending][-1:]
    for spelt, value in changes.items():
        name = spelt.replace("__", "-")
        form.fields = [pair for pair in form.fields if pair[0] != name]
        values = value if isinstance(value, list) else [] if value is None else [value]
        form.fields += [(name, str(each)) for each in values]
    return form


async def signed_in(service: Service, owner: Caller, **headers: str) -> Console:
    """A browser that is signed in with the owner's key."""
    console = Console(service, **headers)
    answer = await console.sign_in(owner.key)
    assert (answer.status, answer.headers["Location"]) == (303, "videos"), answer.body
    return console
