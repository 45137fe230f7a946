"""Runs the service with one kind of work that never ends in its thread, in C, without the lock.

As a program: ``stuck.py KIND python -m service serve``, so that `serving` can run it. A file
``stuck`` appears beside the database when the work begins.
"""

import hashlib
import os
import sys
import time
from pathlib import Path
from typing import Any

from service.cli.main import main
from service.repositories.sqlite.engine import worker
from service.web.pages import handlers

ENDLESS = (
    "WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number)"
    " SELECT count(*) FROM number"
)
STATEMENTS = {"reading": "list a video's links", "writing": "revoke a video's links"}


def _begin() -> None:
    Path(os.environ["SHARED_REPORTS_DATABASE"]).with_name("stuck").touch()


def _sleep(*_: object, **__: object) -> Any:
    _begin()
    time.sleep(3600)


def _run_endless(name: str) -> None:
    """Run a statement without an end in place of the one of this name."""
    bind: Any = worker._Task._bind

    def bind_endless(task: worker._Task) -> Any:
        if task.name != name:
            return bind(task)
        _begin()
        return ENDLESS, ()

    worker._Task._bind = bind_endless  # type: ignore[method-assign,assignment] # any parameters will do


def get_stuck(kind: str) -> None:
    if kind == "rendering":
        handlers.lay_out = _sleep  # type: ignore[attr-defined] # the name that the page calls
    elif kind == "hashing":
        hashlib.scrypt = _sleep
    else:
        _run_endless(STATEMENTS[kind])


if __name__ == "__main__":
    get_stuck(sys.argv[1])
    sys.argv[:] = ["shared-reports", *sys.argv[sys.argv.index("service") + 1 :]]
    main()
