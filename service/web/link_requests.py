"""What an owner's request does with links, whether it comes from the API or from the console."""

from aiohttp import web

from service.domain.idempotency import check_key, idempotency_record
from service.domain.links import NewSharedReport, SharedReport, SharedReportChange
from service.domain.types import Owner
from service.domain.validation import check_times, parse_settings, validate_settings
from service.web.app_keys import CREATE_LIMITER, LINKS, NOW, PASSWORDS, SWEEPER


async def create_link(
    app: web.Application, owner: Owner, new: NewSharedReport, key: str | None
) -> tuple[SharedReport, bool]:
    """Create a link, or return the one that a call with the same idempotency key has created.

    Returns the link, and whether it was there already. Raises what ``validate_settings``,
    ``check_key`` and ``LinkService.create_idempotent`` raise.
    """
    is_replayed = False
    if key is None:
        hashed = await app[PASSWORDS].hash_password(new, caller=owner.user_id)
        settings = validate_settings(hashed, app[NOW]())
        report = await app[LINKS].create(owner.user_id, new.video_id, settings)
    else:
        report, is_replayed = await _create_idempotent(app, owner, new, key)
    app[SWEEPER].schedule(report.expires_at)  # of a replay it may be over: that does no harm
    return report, is_replayed


async def _create_idempotent(
    app: web.Application, owner: Owner, new: NewSharedReport, key: str
) -> tuple[SharedReport, bool]:
    """Return the link that the call creates or has created before, and whether it is a replay."""
    check_key(key)
    # The salt depends on the key, so that the same body has the same digest.
    salted_with = f"{owner.user_id} {key}".encode()
    hashed = await app[PASSWORDS].hash_password(new, salted_with, caller=owner.user_id)
    settings, record = parse_settings(hashed), idempotency_record(key, hashed)
    # Before the times are checked: `expires_at` of a replayed call may be over.
    if (report := await app[LINKS].replay(owner.user_id, settings, record)) is not None:
        return report, True
    check_times(settings, app[NOW]())
    return await app[LINKS].create_idempotent(owner.user_id, new.video_id, settings, record)


async def change_link(
    app: web.Application, owner: Owner, report_id: str, asked: SharedReportChange
) -> SharedReport:
    """Change a link. Raises what ``validate_settings`` and ``LinkService.change`` raise."""
    if isinstance(asked.password, str):  # costs as much as a create
        app[CREATE_LIMITER].acquire(owner.key_id)
    hashed = await app[PASSWORDS].hash_password(asked, caller=owner.user_id)
    settings = validate_settings(hashed, app[NOW]())
    report = await app[LINKS].change(owner.user_id, report_id, settings)
    app[SWEEPER].schedule(report.expires_at)
    return report


async def revoke_links(app: web.Application, owner: Owner, job_id: str) -> int:
    """Revoke all links of a video. Return how many. Raises NotFoundError."""
    deleted = await app[LINKS].revoke_all(owner.user_id, job_id)
    await app[SWEEPER].delete_revoked()
    return deleted
