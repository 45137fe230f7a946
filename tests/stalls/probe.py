"""Views a link and creates links, over a connection each: ``probe.py PORT VIEW CREATE KEY PAUSE``.

A process of its own, so that no reader of large responses keeps it waiting. For each line on
standard input it prints, as JSON, the longest wait in seconds and the unexpected statuses of both
since the last one.
"""

import json
import sys
import threading
import time

from asking import Ask, Connection


class Prober:
    """Makes one request again and again."""

    def __init__(self, ask: Ask, expected: int, pause: float) -> None:
        self._ask, self._expected = ask, expected
        self._pause = pause
        self._since = time.perf_counter()
        self.longest = 0.0
        self.wrong: set[int] = set()

    def run(self, port: int) -> None:
        """Ask without an end."""
        request = self._ask.encode()
        with Connection(port) as connection:
            while True:
                self._since = time.perf_counter()
                status = connection.ask(request, self._ask.method)
                self.longest = max(self.longest, time.perf_counter() - self._since)
                if status != self._expected:
                    self.wrong.add(status)
                time.sleep(self._pause)

    def report(self) -> tuple[float, list[int]]:
        """The longest wait and the unexpected statuses since the last report."""
        report = self.longest, sorted(self.wrong)
        self.longest, self.wrong = 0.0, set()
        return report


def main() -> None:
    port, view, create, key, pause = sys.argv[1:]
    body = json.dumps({"video_id": create}).encode()
    probers = [
        Prober(Ask("GET", f"/api/shared-reports/{view}"), 200, float(pause)),
        Prober(Ask("POST", "/api/shared-reports", body, {"Authorization": key}), 201, float(pause)),
    ]
    for prober in probers:
        threading.Thread(target=prober.run, args=(int(port),), daemon=True).start()
    for _ in sys.stdin:
        print(json.dumps([prober.report() for prober in probers]), flush=True)


if __name__ == "__main__":
    main()
