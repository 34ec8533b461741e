"""A signed webhook, as Standard Webhooks 1.0.0 has it.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

import httpx
from pydantic import SecretStr

from sivera.monitoring.sending import Outcome, send

PREFIX = "whsec_"
MIN_BYTES, MAX_BYTES = 24, 64
"""The lengths of a secret that the specification allows: 192 to 512 bits."""


def generate_secret() -> SecretStr:
    """Return a fresh random secret of 256 bits, as receivers know it: `whsec_` and base64."""
    return SecretStr(PREFIX + base64.b64encode(secrets.token_bytes(32)).decode())


def decode_secret(secret: SecretStr) -> bytes:
    """Return the key that a secret stands for.

    Raises:
        ValueError: It is none; the message does not show it.
    """
    text = secret.get_secret_value()
    try:
        key = base64.b64decode(text.removeprefix(PREFIX).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if not (text.startswith(PREFIX) and MIN_BYTES <= len(key) <= MAX_BYTES):
        raise ValueError(f"it is no secret of a webhook: write {PREFIX} and {MIN_BYTES} to {MAX_BYTES} bytes in base64")
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> str:
    """Return the signature of a message sent at a time (Unix, in seconds), as it stands in `webhook-signature`."""
    digest = hmac.digest(key, f"{message_id}.{timestamp}.".encode() + body, hashlib.sha256)
    return f"v1,{base64.b64encode(digest).decode()}"


def deliver(url: SecretStr, secret: SecretStr, message_id: str, message: Mapping[str, Any]) -> Outcome:
    """Post a message, signed anew for each attempt; its id stays, so that a receiver takes it once.

    Args:
        url: Where to; it can be secret.
        secret: As of `generate_secret`.
        message_id: Tells the message from all others; without a dot.
        message: What is sent, as JSON.
    """
    key, body = decode_secret(secret), json.dumps(message, separators=(",", ":"), ensure_ascii=False).encode()

    def build() -> httpx.Request:
        now = int(time.time())
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "sivera-jobs",
            "webhook-id": message_id,
            "webhook-timestamp": str(now),
            "webhook-signature": sign(key, message_id, now, body),
        }
        return httpx.Request("POST", url.get_secret_value(), headers=headers, content=body)

    return send(build)
