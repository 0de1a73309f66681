"""Azure Event Hub: its URL, its content types, and signatures made from a shared access key.

Source: docs/contract/data-push.md §3.4
"""

from __future__ import annotations

import base64
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from yarl import URL

from matrixhub.model.destination import Framing, SharedAccessKey

CONTENT_TYPES: Mapping[Framing, str] = {
    "batch": "application/atom+xml;type=entry;charset=utf-8",
    "per_item": "application/vnd.microsoft.servicebus.json",
}

VALID_S = 3_600
RENEWED_AFTER_S = VALID_S // 2

_QUERY = {"timeout": "60", "api-version": "2014-01"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """A shared access signature as a header value, and when it was made, in epoch seconds."""

    authorization: str
    made_at_s: float

    def holds(self, now_s: float) -> bool:
        """Whether it is used at this instant; not after half of its time, nor by a clock that was set back."""
        return 0 <= now_s - self.made_at_s < RENEWED_AFTER_S


def sign(auth: SharedAccessKey, messages_url: URL, now_s: float) -> Signature:
    """A signature for the Event Hub behind a URL that `messages_url` has made."""
    token = sas_token(resource_uri(messages_url), auth.key_name, auth.key.reveal(), int(now_s) + VALID_S)
    return Signature(authorization=token, made_at_s=now_s)


def sas_token(uri: str, key_name: str, key: str, expires_s: int) -> str:
    """A shared access signature for the resource, good until the instant, in epoch seconds."""
    resource = quote(uri, safe="")
    digest = hmac.digest(key.encode(), f"{resource}\n{expires_s}".encode(), "sha256")
    signature = quote(base64.b64encode(digest), safe="")
    return f"SharedAccessSignature sr={resource}&sig={signature}&se={expires_s}&skn={quote(key_name, safe='')}"


def messages_url(url: URL) -> URL:
    """The URL that events are posted to, from that of the Event Hub or one that has some of it already.

    >>> str(messages_url(URL("https://ns.servicebus.windows.net/hub/")))
    'https://ns.servicebus.windows.net/hub/messages?timeout=60&api-version=2014-01'
    """
    path = url.raw_path.rstrip("/")
    if not path.endswith("/messages"):
        path += "/messages"
    missing = {name: value for name, value in _QUERY.items() if name not in url.query}
    return url.with_path(path, encoded=True, keep_query=True).update_query(missing)


def resource_uri(messages_url: URL) -> str:
    """The URI of the Event Hub, which is what a signature is for.

    >>> resource_uri(messages_url(URL("https://NS.servicebus.windows.net/hub")))
    'https://ns.servicebus.windows.net/hub'
    """
    return str(messages_url.origin()) + messages_url.raw_path.removesuffix("/messages")
