"""The files of deploy/: the documents quote them, and they agree with each other and the code."""

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from support.docs import DOCUMENTS, ROOT, blocks, code, rows

from service.app import ROUTES
from service.config import Config

NOT_QUOTED = {
    "alerts_test.yml": "tests",
    "grafana.json": "a table has its panels",
    "image.sh": "a script that is run",
}


@pytest.mark.parametrize("file", sorted((ROOT / "deploy").iterdir()), ids=lambda file: file.name)
def test_files_to_deploy_are_quoted_in_a_document(file: Path) -> None:
    texts = "".join(document.read_text() for document in DOCUMENTS)
    assert f"`{file.name}`" in texts or f"`deploy/{file.name}`" in texts
    quoted = re.search(rf"^```\w+\n{re.escape(file.read_text())}```$", texts, re.MULTILINE)
    assert (quoted is None) == (file.name in NOT_QUOTED)


def test_panels_of_the_dashboard_are_listed() -> None:
    panels = json.loads((ROOT / "deploy/grafana.json").read_text())["panels"]
    listed = [[panel["title"], str(len(panel["targets"]))] for panel in panels]
    assert rows("deployment", "Monitoring") == listed


def test_compose_file_names_the_instances_of_nginx() -> None:
    compose = (ROOT / "deploy/compose.yaml").read_text()
    instances = re.findall(r"^  ([\w-]+): \*instance$", compose, re.MULTILINE)
    upstreams = re.findall(r"server ([\w-]+):8080 ", (ROOT / "deploy/nginx.conf").read_text())
    assert instances == upstreams == ["reports-1", "reports-2"]
    build = yaml.safe_load(compose)["x-instance"]["build"]
    assert build == {"context": "..", "dockerfile": "deploy/Containerfile"}


def test_containerfile_copies_what_it_builds() -> None:
    text = (ROOT / "deploy/Containerfile").read_text()
    lines = re.findall(r"^COPY ([^-].*) /", text, re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    assert copied >= {"service", "pyproject.toml", "docs/shared-reports.1"}
    assert all((ROOT / name).exists() for name in copied)
    linked = [path.resolve() for path in (ROOT / "service").rglob("*") if path.is_symlink()]
    assert {str(path.relative_to(ROOT)) for path in linked} <= copied  # a copy keeps the links


def manifests(name: str) -> list[Any]:
    return list(yaml.safe_load_all((ROOT / f"deploy/{name}.yaml").read_text()))


@pytest.mark.parametrize("name", ["kubernetes", "kubernetes-sidecar"])
def test_kubernetes_manifests_are_valid(name: str) -> None:
    """By the schemas of two releases, which reject a property that they do not know."""
    for manifest in manifests(name):
        for release in ("1.31", "1.37"):
            kubernetes_validate.validate(manifest, release, strict=True)
        manifest["spec"]["nonsense"] = 1
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(manifest, "1.37", strict=True)


def test_kubernetes_manifests_agree_with_each_other_and_the_image() -> None:
    kinds = {manifest["kind"]: manifest["spec"] for manifest in manifests("kubernetes")}
    pod = kinds["Deployment"]["template"]
    labels = pod["metadata"]["labels"]
    assert kinds["Deployment"]["selector"]["matchLabels"] == labels
    assert kinds["Service"]["selector"] == labels
    assert kinds["PodDisruptionBudget"]["selector"]["matchLabels"] == labels
    [container] = pod["spec"]["containers"]
    assert container["ports"] == [{"name": "http", "containerPort": Config().port}]
    probes = {container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("readiness", "liveness")}
    assert probes <= {route.path for route in ROUTES}
    [sidecar] = manifests("kubernetes-sidecar")
    user = re.findall(r"USER (\d+):", (ROOT / "deploy/Containerfile").read_text())
    for template in (pod, sidecar["spec"]["template"]):
        assert user == [str(template["spec"]["securityContext"]["runAsUser"])]
    most = kinds["HorizontalPodAutoscaler"]["maxReplicas"]
    assert most * Config().postgresql_connections <= 90  # of 100, PostgreSQL's default


def test_manifest_and_units_set_only_settings_that_exist() -> None:
    settings = {code(name)[0] for name, *_ in rows("configuration", "Settings")}
    manifest = "".join(blocks("deployment", "yaml"))
    names = re.findall(r"name: (SHARED_REPORTS_\w+)", manifest)
    assert names
    assert settings.issuperset(names)
    units = "".join(blocks("deployment", "ini"))
    assert settings.issuperset(re.findall(r"SHARED_REPORTS_\w+", units))
    for file in ("compose.yaml", "Containerfile"):
        names = re.findall(r"SHARED_REPORTS_\w+", (ROOT / "deploy" / file).read_text())
        assert names
        assert settings.issuperset(names)
