"""The demonstration: a fresh database becomes something to click on.

On an empty database it makes a user, a key and a link to the bundled sample. The key is kept in
a file of mode 0600 beside the database, so that a restart finds it.
"""

import uuid
from importlib import resources
from pathlib import Path
from string import Template

from aiohttp import web

from service.cli.output import echo_in_background
from service.domain.errors import UnauthorizedError
from service.domain.links import NO_SETTINGS, SharedReport
from service.domain.platform_export import read_export
from service.domain.postgresql_url import PostgresqlUrl
from service.repositories.link_mapping import read_reports
from service.server.run import Address
from service.web.app_keys import CONFIG, LINKS, NOW, REPOSITORIES, SIGN_IN_CODES

_SAMPLE = "samples/street-meadow-car.json"

_LINES = """
Shared Reports is ready. The link:

  $base/r/$share_hash

The console for owners, signed in by one click within a minute:

  $console

Paste these lines into another terminal:

export LVZ_KEY=$key

# Share the video.
$curl -X POST $api/shared-reports \\
  -H "Authorization: $$LVZ_KEY" -H "Content-Type: application/json" \\
  -d '{"video_id": "$job_id"}'

# View the report, as anyone who holds the link may.
$curl $api/shared-reports/$share_hash

# Share it for five seconds.
SOON=$$(python3 -c 'import time; print(time.strftime("%FT%T", time.gmtime(time.time() + 5)))')
$curl -X POST $api/shared-reports \\
  -H "Authorization: $$LVZ_KEY" -H "Content-Type: application/json" \\
  -d '{"video_id": "$job_id", "expires_at": "'$$SOON'"}'
sleep 6

# List the video's links, the expired one too.
$curl $api/videos/$job_id/shared-reports -H "Authorization: $$LVZ_KEY"

# Revoke the link above: it stops working at once.
$curl -X DELETE $api/shared-reports/$report_id -H "Authorization: $$LVZ_KEY"
"""


async def demonstrate(app: web.Application, address: Address) -> None:
    """Create what the demonstration needs, and print lines that work when they are pasted."""
    raw_key = await _raw_key(app, _key_file(app[CONFIG].database))
    if raw_key is None:
        echo_in_background(["The database is not a demonstration's: nothing was added to it."])
        return
    job_id, report = await _shared_sample(app, raw_key)
    values = {
        "api": f"{address.url}/api",
        "console": await _console_link(app, address, raw_key),
        "base": app[CONFIG].base_url or address.url,
        "curl": f"curl -sS --unix-socket '{address.socket}'" if address.socket else "curl -sS",
        "job_id": job_id,
        "key": raw_key,
        "report_id": report.id,
        "share_hash": report.share_hash,
    }
    echo_in_background(Template(line).substitute(values) for line in _LINES.split("\n"))


async def _console_link(app: web.Application, address: Address, raw_key: str) -> str:
    """The one-time link into the console; the setting that switches it on if it is off."""
    if app[CONFIG].console == "off":
        return "(off: SHARED_REPORTS_CONSOLE=off)"
    code = app[SIGN_IN_CODES].make(await app[REPOSITORIES].api_keys.owner_of(raw_key))
    return f"{app[CONFIG].base_url or address.url}/console/sign-in/{code}"


def _key_file(database: Path | PostgresqlUrl) -> Path:
    """Where the key is kept: beside the SQLite file, or in the working directory."""
    if isinstance(database, PostgresqlUrl):
        return Path("postgresql.demo-key")
    return database.with_name(f"{database.name}.demo-key")


async def _raw_key(app: web.Application, file: Path) -> str | None:
    """The demonstration's key, created on an empty database; None on a database in use."""
    api_keys = app[REPOSITORIES].api_keys
    if not await api_keys.list_of_everyone():
        raw_key = (await api_keys.create(str(uuid.uuid4()), "demo")).raw_key
        _store_key(file, raw_key)
        return raw_key
    stored_key = _read_key(file)
    try:
        await api_keys.owner_of(stored_key)
    except UnauthorizedError:
        return None
    return stored_key


async def _shared_sample(app: web.Application, raw_key: str) -> tuple[str, SharedReport]:
    """The sample's job id and a link to it without limits; created if they are missing."""
    user_id = (await app[REPOSITORIES].api_keys.owner_of(raw_key)).user_id
    body = (resources.files("service.cli") / _SAMPLE).read_bytes()
    sample = read_export(body, app[NOW]())
    if sample.job_id not in {
        video.job_id for video in (await app[REPOSITORIES].videos.list_all(user_id))[0]
    }:
        await app[REPOSITORIES].videos.put(user_id, sample)
    reports, _ = await app[REPOSITORIES].link_lists.list_for_video(user_id, sample.job_id)
    for report in read_reports(reports):
        is_protected = report.has_password or report.max_views is not None
        if report.is_active and report.expires_at is None and not is_protected:
            return sample.job_id, report
    return sample.job_id, await app[LINKS].create(user_id, sample.job_id, NO_SETTINGS)


def _store_key(file: Path, raw_key: str) -> None:
    file.unlink(missing_ok=True)
    file.touch(mode=0o600, exist_ok=False)
    file.write_text(f"{raw_key}\n", encoding="ascii")


def _read_key(file: Path) -> str:
    return file.read_text(encoding="ascii").strip() if file.exists() else ""
