"""Names and filters of commands are in Unicode's form NFC, as those of the API."""

import json
from pathlib import Path

import pytest
from support.cli import USER, answer, links, rows
from support.process import run_in_process

DECOMPOSED, COMPOSED = "u\u0308ber", "\u00fcber"


def put(folder: Path, **fields: object) -> str:
    file = folder / "export.json"
    file.write_text(json.dumps({"job_id": "job-1", "video_name": "x"} | fields))
    return str(file)


def test_import_stores_names_in_nfc(tmp_path: Path) -> None:
    segment = {"module": DECOMPOSED, "content": DECOMPOSED, "start_time": 0, "end_time": 1}
    file = put(tmp_path, video_name=DECOMPOSED, project_id=DECOMPOSED, segments=[segment])
    result = run_in_process("import", file, "--user", USER, folder=tmp_path)
    assert (result.returncode, result.stdout) == (0, "1 imported, 0 failed\n")
    [(name, project, modules)] = rows(tmp_path, "SELECT name, project_id, modules FROM videos")
    assert (name, project, modules) == (
        COMPOSED,
        COMPOSED,
        json.dumps([COMPOSED], ensure_ascii=False),
    )
    [(text,)] = rows(tmp_path, "SELECT segments ->> '$[0].content' FROM videos")
    assert text == DECOMPOSED  # the finding is what the platform has found


def test_import_bounds_a_name_in_nfc(tmp_path: Path) -> None:
    file = put(tmp_path, video_name="\u0344" * 501)
    result = run_in_process("import", file, "--user", USER, folder=tmp_path)
    assert result.returncode == 1
    assert "`video_name` has more than 1000 characters" in result.stderr


@pytest.mark.parametrize(("name", "status"), [(DECOMPOSED, 0), ("\u0344" * 101, 2)])
def test_keys_create_takes_names_in_nfc(tmp_path: Path, name: str, status: int) -> None:
    result = run_in_process("keys", "create", "--user", USER, "--name", name, folder=tmp_path)
    assert result.returncode == status
    if status:
        assert "1 to 200 printable characters" in result.stderr
    else:
        assert rows(tmp_path, "SELECT name FROM api_keys") == [(COMPOSED,)]


def test_keys_create_takes_a_user_in_any_spelling(tmp_path: Path) -> None:
    spelling = f"{{{USER.upper()}}}"
    result = run_in_process("keys", "create", "--user", spelling, "--name", "x", folder=tmp_path)
    assert result.returncode == 0
    assert rows(tmp_path, "SELECT user_id FROM api_keys") == [(USER,)]


def test_links_take_labels_and_filters_in_nfc(tmp_path: Path) -> None:
    segment = {"module": COMPOSED, "start_time": 0, "end_time": 1}
    run_in_process("import", put(tmp_path, segments=[segment]), "--user", USER, folder=tmp_path)
    made = answer(
        *(tmp_path, "create", "job-1", "--label", DECOMPOSED, "--note", DECOMPOSED),
        *("--module", DECOMPOSED),
    )
    assert (made["label"], made["note"], made["modules"]) == (COMPOSED, COMPOSED, [COMPOSED])
    assert answer(tmp_path, "list", "--label", "u\u0308") == [made]


def test_links_create_names_the_modules_that_there_are(tmp_path: Path) -> None:
    segment = {"module": "scenes", "start_time": 0, "end_time": 1}
    run_in_process("import", put(tmp_path, segments=[segment]), "--user", USER, folder=tmp_path)
    result = links(tmp_path, "create", "job-1", "--module", "Scenes")
    assert result.returncode == 1
    assert "has no `Scenes`. It has `scenes`." in result.stderr
    assert answer(tmp_path, "list") == []
