"""The media type and the coding that a request accepts."""


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether an Accept-Encoding header accepts gzip (RFC 9110, 12.5.3).

    A coding that is named counts before ``*``. A weight that is no number rejects its coding.
    """
    wildcard = False
    for item in accept_encoding.split(","):
        coding, _, weight = item.replace(" ", "").replace("\t", "").lower().partition(";q=")
        try:
            accepted = float(weight or 1) > 0
        except ValueError:
            accepted = False
        if coding in {"gzip", "x-gzip"}:
            return accepted
        wildcard = wildcard or (coding == "*" and accepted)
    return wildcard


def prefers_html(accept: str) -> bool:
    """Whether an Accept header asks for HTML before JSON, as browsers do and programs don't."""
    if "text/html" not in accept:
        return False
    wanted: dict[str, float] = {}
    for media_range in accept.split(","):
        media_type, _, weight = media_range.replace(" ", "").lower().partition(";q=")
        try:
            wanted[media_type.partition(";")[0]] = float(weight or 1)
        except ValueError:
            return False
    other = max(
        wanted.get(media_range, 0) for media_range in ("application/json", "application/*", "*/*")
    )
    return wanted.get("text/html", 0) > other
