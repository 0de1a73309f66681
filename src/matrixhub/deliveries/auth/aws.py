"""AWS Signature Version 4 for AWS IoT, by `botocore`.

botocore only computes here: it is given the keys, the region and the time, so it looks for no configuration,
environment or metadata service. Importing it takes a third of a second, so that waits for the first signature.
Source: docs/contract/data-push.md §3.5
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from yarl import URL

from matrixhub.model.destination import SignatureV4, aws_region

SERVICE = "iotdata"


class _Credentials(NamedTuple):
    access_key: str
    secret_key: str
    token: str | None


def signed_headers(auth: SignatureV4, url: URL, content_type: str, body: bytes, now_s: float) -> dict[str, str]:
    """The headers that authenticate a POST of this body: `Authorization`, `X-Amz-Date`, and the session token's.

    Shape:  url as it is requested; its path is encoded once more for the signature, whose payload is the body.
    Raises: InvalidValue if no region is set and the host name does not tell it.
    """
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest

    token = auth.session_token.reveal() if auth.session_token else None
    keys = _Credentials(auth.access_key_id, auth.secret_access_key.reveal(), token)
    signer = SigV4Auth(keys, SERVICE, auth.region or aws_region(url.raw_host or ""))
    added = {"X-Amz-Date": datetime.fromtimestamp(now_s, UTC).strftime("%Y%m%dT%H%M%SZ")}
    if token is not None:
        added["X-Amz-Security-Token"] = token
    request = AWSRequest(method="POST", url=str(url), data=body, headers={"Content-Type": content_type, **added})
    request.context["timestamp"] = added["X-Amz-Date"]
    to_sign = signer.string_to_sign(request, signer.canonical_request(request))
    added["Authorization"] = (
        f"AWS4-HMAC-SHA256 Credential={signer.scope(request)}, "
        f"SignedHeaders={signer.signed_headers(signer.headers_to_sign(request))}, "
        f"Signature={signer.signature(to_sign, request)}"
    )
    return added
