"""The signatures of webhooks are those of the Standard Webhooks specification."""

import base64
import json
import time

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from service.security.webhook_signatures import new_secret, signed_headers

BODY = '{"type":"x","data":{"label":"ü"}}'.encode()


def test_secret_has_the_form_of_the_specification() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) == 32
    assert new_secret() != secret


def test_signature_is_verified_by_the_library_of_the_specification() -> None:
    secret = new_secret()
    headers = signed_headers("evt_1_2", int(time.time()), BODY, [secret])
    assert set(headers) == {"webhook-id", "webhook-timestamp", "webhook-signature"}
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


def test_signature_of_the_specifications_example_is_the_same() -> None:
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
        ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"],
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize("changed", ["body", "id", "secret", "time"])
def test_signature_fails_if_anything_changes(changed: str) -> None:
    secret, now = new_secret(), int(time.time())
    headers = signed_headers("evt_1_2", now, BODY, [secret])
    if changed == "id":
        headers["webhook-id"] = "evt_2_2"
    if changed == "time":
        headers["webhook-timestamp"] = str(now - 1)
    body = BODY + b" " if changed == "body" else BODY
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret() if changed == "secret" else secret).verify(body, headers)


def test_signatures_of_two_secrets_are_both_verified() -> None:
    old, new = new_secret(), new_secret()
    headers = signed_headers("evt_1_2", int(time.time()), BODY, [new, old])
    for secret in (old, new):
        assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(BODY, headers)
