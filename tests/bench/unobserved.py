"""The service without its logs and its metrics, to measure what they cost."""

from service.cli import main
from service.requests import Requests


def note(*_: object) -> None:
    """Forget the request."""


if __name__ == "__main__":
    Requests.note = note  # type: ignore[method-assign, assignment]
    main()
