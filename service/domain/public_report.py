"""The JSON of a PublicReport, assembled of the parts that every engine stores."""

import msgspec

_decode_names = msgspec.json.Decoder(list[str]).decode


def public_report_json(
    share_hash: str,
    created_at: str,
    video_json: str,
    video_modules: str,
    link_modules: str | None,
) -> bytes:
    """Return a PublicReport as JSON, byte for byte as its encoder would.

    ``video_json`` is the video as a PublicVideo in JSON. It ends in the JSON array
    ``video_modules``, from which this leaves out what is not in the array ``link_modules``; None
    there shows all modules. A video's text is escaped once, when it is stored: to encode a
    PublicReport for each view takes four times as long.
    """
    if link_modules is not None:
        shown = set(_decode_names(link_modules))
        names = [name for name in _decode_names(video_modules) if name in shown]
        before_modules = video_json[: -len(video_modules) - 1]
        video_json = f"{before_modules}{msgspec.json.encode(names).decode()}}}"
    report = f'{{"share_hash":"{share_hash}","video":{video_json},"created_at":"{created_at}"}}'
    return report.encode()
