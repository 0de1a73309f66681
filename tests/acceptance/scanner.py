"""Looks for planted secrets in whatever the hub says, in every spelling that texts on the web have.

It knows nothing of how the hub hides them: spellings are made anew here.
"""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

LINE_LEAST = 40
"""Of a secret of several lines, such as a key in PEM, each line of so many signs is one as well."""

BEGINNING = 12
"""The beginning of a secret is one as well, for texts that were cut."""

_TEXT = re.compile(rb"[\x20-\x7e\x80-\xf4]{8,}")


@dataclass(frozen=True)
class Hit:
    """A secret that was seen: which, how it was spelled, where, and what stands around it."""

    secret: str
    spelling: str
    where: str
    around: str


@dataclass
class Scanner:
    """What must not be seen, by name. Shape: `looked_at` counts the bytes looked at, by place."""

    planted: dict[str, str] = field(default_factory=dict)
    looked_at: dict[str, int] = field(default_factory=dict)
    _patterns: dict[bytes, tuple[str, str]] = field(default_factory=dict)

    def plant(self, name: str, secret: str) -> None:
        """Look for this secret, too."""
        assert len(secret) >= 8, f"{name} is too short to be told from other text"
        self.planted[name] = secret
        for spelling, text in spellings(secret).items():
            self._patterns.setdefault(text, (name, spelling))

    def look(self, where: str, content: str | bytes) -> list[Hit]:
        """The secrets that can be seen there."""
        found = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
        self.looked_at[where] = self.looked_at.get(where, 0) + len(found)
        hits = []
        for text, (name, spelling) in self._patterns.items():
            at = found.find(text)
            if at >= 0:
                around = found[max(0, at - 120) : at + len(text) + 40].decode("utf-8", "replace")
                hits.append(Hit(name, spelling, where, around))
        return hits

    def look_at_all(self, places: Iterable[tuple[str, str | bytes]]) -> list[Hit]:
        """The secrets that can be seen in any of these places."""
        return [hit for where, content in places for hit in self.look(where, content)]


def printable(content: bytes) -> bytes:
    """The texts in a binary file, each once."""
    return b"\n".join(set(_TEXT.findall(content)))


def spellings(secret: str) -> Mapping[str, bytes]:
    """How a secret may be written, by the name of the spelling.

    Base64 is looked for at each of the three places within a group, without the signs that depend on what stands
    around it, so that it is found inside a longer text that was encoded as a whole.
    """
    found: dict[str, bytes] = {}
    lines = [line for line in secret.splitlines() if len(line) >= LINE_LEAST] if "\n" in secret else [secret]
    for number, line in enumerate(lines):
        raw = line.encode()
        named = {
            "raw": raw,
            "beginning": raw[:BEGINNING],
            "URL": quote(line, safe="").encode(),
            "URL, lower case": re.sub(r"%..", lambda part: part[0].lower(), quote(line, safe="")).encode(),
            "path": quote(line).encode(),
            "form": quote_plus(line).encode(),
            "JSON": json.dumps(line)[1:-1].encode(),
            "JSON in JSON": json.dumps(json.dumps(line)[1:-1])[1:-1].encode(),
            "JSON, UTF-8": json.dumps(line, ensure_ascii=False)[1:-1].encode(),
            "HTML": html.escape(line).encode(),
            "hex": raw.hex().encode(),
            "HEX": raw.hex().upper().encode(),
        }
        for before in range(3):
            whole = base64.b64encode(b"\0" * before + raw)
            text = whole[-(-before * 8 // 6) :].rstrip(b"=")
            inner = text[: len(text) - (1 if (before + len(raw)) % 3 else 0)]
            named[f"base64, {before} before"] = inner
            named[f"base64url, {before} before"] = inner.translate(bytes.maketrans(b"+/", b"-_"))
        found |= {f"{name}, line {number}" if len(lines) > 1 else name: text for name, text in named.items()}
    return found
