"""The alert rules and the dashboard of deploy/, in a real Prometheus that scrapes the service."""

import json
import re
import shutil
import subprocess
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from support.deployed import found, free_port
from support.docs import ROOT, code, rows
from support.process import PATIENCE, await_true, get, new_key, request, serving

DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana.json").read_text())
QUERIES = {
    f"{panel['title']}, {target['legendFormat']}": target["expr"]
    for panel in DASHBOARD["panels"]
    for target in panel["targets"]
}
RULES = (DEPLOY / "alerts.yml").read_text()
TESTS = (DEPLOY / "alerts_test.yml").read_text()


def test_alert_rules_pass_their_tests() -> None:
    command: list[str | Path] = [
        found("promtool", "prometheus"),
        "test",
        "rules",
        DEPLOY / "alerts_test.yml",
    ]
    tested = subprocess.run(command, capture_output=True, text=True, check=False)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_alert_rules_are_each_tested_and_described() -> None:
    alerts = re.findall(r"alert: (\w+)", RULES)
    assert len(alerts) == len(set(alerts)) == 12
    for alert in alerts:
        case = f"alertname: {alert}\n        exp_alerts:"
        assert f"{case} []" in TESTS, "never seen silent"
        assert f"{case}\n          - exp_labels" in TESTS, "never seen to fire"


def test_dashboard_and_rules_name_metrics_that_exist() -> None:
    metrics = {code(name)[0] for name, *_ in rows("operations", "Metrics")}
    named = set(re.findall(r"\b(?:shared_reports|process)_\w+", RULES + "".join(QUERIES.values())))
    assert {re.sub("_(bucket|count|sum)$", "", name) for name in named} <= metrics
    assert len(DASHBOARD["panels"]) == len({panel["title"] for panel in DASHBOARD["panels"]})


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus with the configuration of deploy/, and scrape ``target`` more often."""
    command = found("prometheus", "prometheus")
    shutil.copy(DEPLOY / "alerts.yml", folder)
    text = (DEPLOY / "prometheus.yml").read_text()
    changes = {
        "scrape_interval: 15s": "scrape_interval: 250ms\n  scrape_timeout: 250ms\n"
        "  evaluation_interval: 1s",
        "localhost:8080": target,
    }
    for written, ours in changes.items():
        assert written in text
        text = text.replace(written, ours)
    (folder / "prometheus.yml").write_text(text)
    port = free_port()
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(
            [
                command,
                f"--config.file={folder}/prometheus.yml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        yield f"http://127.0.0.1:{port}/api/v1"
    finally:
        process.kill()
        process.wait(PATIENCE)


def ask(api: str, path: str) -> Any:
    try:
        status, body = get(f"{api}/{path}")
    except OSError:  # it starts
        return {}
    return json.loads(body)["data"] if status == 200 else {}


def query(api: str, text: str) -> list[Any]:
    """The values of a panel's query, with what Grafana puts in its place."""
    for name, value in {
        "$__rate_interval": "5s",
        "$job": "shared-reports",
        "$instance": ".+",
    }.items():
        text = text.replace(name, value)
    answer = ask(api, f"query?{urllib.parse.urlencode({'query': text})}")
    return [row["value"][1] for row in answer.get("result", [])]


def test_dashboard_queries_have_results_in_prometheus(tmp_path: Path) -> None:
    """And Prometheus evaluates every alert rule without an error; none fires."""
    key = new_key(tmp_path)
    with serving(tmp_path) as server, prometheus(tmp_path, server.url[7:]) as api:
        video = f"{server.url}/api/videos/job-1"
        assert request("PUT", video, {"video_name": "x"}, Authorization=key)[0] == 201
        reports = f"{server.url}/api/shared-reports"
        link = json.loads(request("POST", reports, {"video_id": "job-1"}, Authorization=key)[1])

        def use_service() -> None:
            assert get(f"{reports}/{link['share_hash']}")[0] == 200
            assert get(f"{server.url}/r/{link['share_hash']}")[0] == 200
            assert get(reports, Authorization=key)[0] == 200
            body = {"label": "x"}
            assert request("PATCH", f"{reports}/{link['id']}", body, Authorization=key)[0] == 200

        missing = dict(QUERIES)

        def has_results() -> bool:
            use_service()
            for name, text in list(missing.items()):
                values = query(api, text)
                if values and "NaN" not in values:
                    del missing[name]
            return not missing

        try:
            await_true(has_results, "every panel has results")
        except AssertionError:
            raise AssertionError(f"no results: {missing}") from None
        await_true(lambda: {rule["health"] for rule in evaluated(api)} == {"ok"}, "the rules")
        assert {rule["state"] for rule in evaluated(api)} == {"inactive"}


def evaluated(api: str) -> list[Any]:
    return [rule for group in ask(api, "rules").get("groups", []) for rule in group["rules"]]
