"""The media type that a request prefers."""


def prefers_html(accept: str) -> bool:
    """Whether an Accept header asks for HTML before JSON, as browsers do and programs don't."""
    if "text/html" not in accept:
        return False
    wanted: dict[str, float] = {}
    for each in accept.split(","):
        media_type, _, weight = each.replace(" ", "").lower().partition(";q=")
        try:
            wanted[media_type.partition(";")[0]] = float(weight or 1)
        except ValueError:
            return False
    other = max(wanted.get(each, 0) for each in ("application/json", "application/*", "*/*"))
    return wanted.get("text/html", 0) > other
