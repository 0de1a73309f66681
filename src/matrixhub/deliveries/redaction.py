"""Keeps what must not be seen out of answers and error texts.

A peer may say back what it was sent: in an error page, cut short, encoded, or as part of a URL. What is shown of it
is freed of every secret of the request, in the spellings that texts on the web have.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from matrixhub.model.destination import (
    BasicAuth,
    ClientCredentials,
    Destination,
    RefreshToken,
    SharedAccessKey,
    SignatureV4,
)

HIDDEN = "[hidden]"

BEGINNING = 8
"""So many signs of the beginning of a secret are cut out even where the rest of it is missing."""

SHORT = 4
"""A secret of fewer signs is cut out where it stands alone, or the text would be shredded."""

QUERY_VALUE = 8
"""Values of a URL's query with at least so many signs are taken for secrets."""

_URL_SAFE = str.maketrans("+/", "-_")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
_BLANKS = re.compile(r"[ \t\r\n]+")


def shown(text: str, spellings: Iterable[str], signs_max: int) -> str:
    """The beginning of a text as it may be seen: secrets cut out, on one line, control characters made visible.

    >>> shown("no:\\r\\n  d3mo pass\\0 is wrong", spellings_of(["d3mo pass"]), 40)
    'no: [hidden]␀ is wrong'
    """
    free = hide(text, spellings)
    return _CONTROL.sub(_visible, _BLANKS.sub(" ", free)).strip()[:signs_max]


def hide(text: str, spellings: Iterable[str]) -> str:
    """The text without secrets, given as `spellings_of` has them; a cut one is recognised by its beginning.

    >>> hide("got Bearer s3cret-token-1, or s3cret-to", spellings_of(["s3cret-token-1"]))
    'got Bearer [hidden], or [hidden]'
    """
    spellings = tuple(spellings)
    for spelling in spellings:
        if len(spelling) < SHORT:
            text = re.sub(rf"(?<!\w){re.escape(spelling)}(?!\w)", HIDDEN, text)
        else:
            text = text.replace(spelling, HIDDEN)
    for spelling in spellings:
        if len(spelling) >= SHORT and spelling[:SHORT] in text:
            text = _hide_beginnings(text, spelling)
    return text


def _hide_beginnings(text: str, spelling: str) -> str:
    head, parts, since = spelling[:BEGINNING], [], 0
    while (at := text.find(head, since)) >= 0:
        end = at + len(head)
        for sign in spelling[BEGINNING:]:
            if end >= len(text) or text[end] != sign:
                break
            end += 1
        parts += [text[since:at], HIDDEN]
        since = end
    text = "".join((*parts, text[since:]))
    # A text that was cut off may end within a secret.
    for length in range(min(BEGINNING, len(spelling)) - 1, SHORT - 1, -1):
        if text.endswith(spelling[:length]):
            return text[:-length] + HIDDEN
    return text


def spellings_of(secrets: Iterable[str]) -> tuple[str, ...]:
    """Every spelling a secret is looked for in, longest first: plain, or as URL, base64, hex, JSON or HTML have it."""
    found: set[str] = set()
    for secret in secrets:
        raw = secret.encode("utf-8", "surrogatepass")
        plain = base64.b64encode(raw).decode()
        found |= {
            *(secret, secret.strip(), quote(raw, safe=""), quote(raw), quote_plus(raw), quote(raw, safe="").lower()),
            *(plain, plain.rstrip("="), base64.urlsafe_b64encode(raw).decode(), quote(plain, safe="")),
            *(json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1]),
            *(html.escape(secret), raw.hex(), raw.hex().upper()),
            *_within_base64(raw),
        }
    return tuple(sorted(found - {""}, key=len, reverse=True))


def _within_base64(raw: bytes) -> Iterator[str]:
    """The signs that a secret alone decides in the base64 of a longer text, for each place in a group of three.

    >>> base64.b64encode(b"say s3cret-token!").decode(), list(_within_base64(b"s3cret-token"))[2]
    ('c2F5IHMzY3JldC10b2tlbiE=', 'MzY3JldC10b2tlb')
    """
    for before in range(3):
        signs = base64.b64encode(b"\0" * before + raw).decode().rstrip("=")
        own = signs[before + (before > 0) : len(signs) - ((before + len(raw)) % 3 > 0)]
        if len(own) >= BEGINNING:
            yield own
            yield own.translate(_URL_SAFE)


def secrets_of(destination: Destination) -> tuple[str, ...]:
    """What of a destination must not be seen: of its authentication, its headers, its key and its URL."""
    found = [header.value.reveal() for header in destination.headers]
    for header in destination.headers:
        # Of "Bearer abc" the second word alone is the secret.
        found += header.value.reveal().split()[1:]
    if destination.client_certificate is not None:
        found.append(destination.client_certificate.key_pem.reveal())
    auth = destination.auth
    match auth:
        case BasicAuth():
            found += [f"{auth.user}:{auth.password.reveal()}", auth.password.reveal()]
        case ClientCredentials() | RefreshToken():
            found += token_secrets(auth)
        case SharedAccessKey():
            found.append(auth.key.reveal())
        case SignatureV4():
            found.append(auth.secret_access_key.reveal())
            if auth.session_token is not None:
                found.append(auth.session_token.reveal())
        case _:
            pass
    return tuple(dict.fromkeys([*found, *query_secrets(destination.url)]))


def token_secrets(auth: ClientCredentials | RefreshToken) -> list[str]:
    """What of a token request must not be seen."""
    found = [value for _, value in auth.extra if len(value) >= QUERY_VALUE]
    if auth.client_secret is not None:
        secret = auth.client_secret.reveal()
        pair = f"{quote_plus(auth.client_id)}:{quote_plus(secret)}"
        found += [f"{auth.client_id}:{secret}", pair, secret]
    if isinstance(auth, RefreshToken):
        found.append(auth.refresh_token.reveal())
    return [*found, *query_secrets(auth.token_url)]


def query_secrets(url: str) -> list[str]:
    """What of a URL must not be seen: longer values of its query, such as `?code=…`.

    >>> query_secrets("https://example.test/in?code=a1b2c3d4e5&v=2")
    ['code=a1b2c3d4e5&v=2', 'a1b2c3d4e5']
    """
    query = urlsplit(url).query
    values = [value for _, value in parse_qsl(query) if len(value) >= QUERY_VALUE]
    return [query, *values] if values else []


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "�"
