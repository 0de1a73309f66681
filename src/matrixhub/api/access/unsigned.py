"""Requests that prove nothing, where the operator lets them in for development.

Source: docs/contract/web-services.md §3.3
"""

from __future__ import annotations

import ipaddress

from matrixhub.api.access.credentials import Credentials
from matrixhub.model.access import PROPERTY_ADMINS, Identity
from matrixhub.model.errors import MissingParameters, Unauthorised
from matrixhub.model.ids import PropertyId


def identify_unsigned(credentials: Credentials) -> Identity:
    """Whoever asks an operation from this very machine, for the property it names.

    A page in a browser on this machine may be anybody's, and so may be who asks by way of a proxy.

    Raises: Unauthorised, MissingParameters.
    """
    if not credentials.of_operation or credentials.indirect or not is_loopback(credentials.address):
        raise Unauthorised("requests without credentials are taken from this machine only, and for operations only")
    if not credentials.property_id:
        raise MissingParameters("propid: missing in the query, and there are no credentials to tell it from")
    return Identity(
        scheme="unsigned",
        id="unsigned",
        name="unsigned",
        property_id=PropertyId(credentials.property_id),
        role_id=PROPERTY_ADMINS,
    )


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine itself.

    >>> is_loopback("127.0.0.1"), is_loopback("::1"), is_loopback("::ffff:127.0.0.1"), is_loopback("192.0.2.1")
    (True, True, True, False)
    """
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    mapped = getattr(found, "ipv4_mapped", None)
    return (mapped or found).is_loopback
