"""What the REST face takes and gives about keys. A secret is in the answer that makes it, and in no other one."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from matrixhub.api.rest.documents import ApplicationKey, Given, Instant, Name, Next, SecretText, Taken
from matrixhub.model.access import RATE_MAX, ROLE_NAME
from matrixhub.model.key import KeyKind
from matrixhub.modules.access.keys import OVERLAP_MAX_S, OVERLAP_S, SECRET_LENGTH_MAX, SECRET_LENGTH_MIN

Kind = Annotated[
    KeyKind,
    Meta(description="`access`: a pair, signed with (SCHMAC_V1) or sent as Basic; `bearer`: one text, sent as it is."),
]
Role = Annotated[
    str,
    Meta(
        pattern=f"^{ROLE_NAME}$",
        description="What says what it may do, such as `SMARTCLEAN#PropertyAdmins`.",
    ),
]
PerSecond = Annotated[float, Meta(gt=0, le=RATE_MAX, description="Requests it may make a second, in the long run.")]
AtOnce = Annotated[int, Meta(ge=1, le=2 * RATE_MAX, description="Requests it may make at once.")]
Protected = Annotated[bool, Meta(description="Each signed request is taken once.")]
AccessKeyText = Annotated[
    str,
    Meta(
        pattern=r"^(?! )[\x20-\x3a\x3c-\x7e]{1,128}$",
        description="What clients say who they are with; ASCII without `;`.",
    ),
]


class KeyView(Given, frozen=True, kw_only=True):
    """A key."""

    id: str
    property: str
    kind: Kind
    name: str
    role: str
    access_key: Annotated[str | None, Meta(description="Of a pair.")]
    application: Annotated[str | None, Meta(description="Whose events it publishes.")]
    replay_protected: Protected
    rate_per_s: PerSecond | None
    burst: AtOnce | None
    created_at: Instant
    rotated_at: Instant | None
    previous_until: Annotated[Instant | None, Meta(description="Until then the secret of before is good, too.")]
    expires_at: Instant | None
    revoked_at: Instant | None


class KeyPage(Given, frozen=True, kw_only=True):
    """Keys, oldest first."""

    items: list[KeyView]
    next: Next


class NewKeyView(KeyView, frozen=True, kw_only=True):
    """A key with its secret, which is given here and never again."""

    secret: Annotated[str, Meta(description="Of a pair, the secret; of a bearer key, the key itself, mhk_….")]


class NewKey(Taken, frozen=True, kw_only=True):
    """A key to be made; a pair that clients have already is brought along with `access_key` and `secret`."""

    kind: Kind = "access"
    name: Name = ""
    role: Annotated[
        Role | None, Meta(description="Without one, a pair may do everything, and a bearer key send readings.")
    ] = None
    application: Annotated[
        ApplicationKey | None, Meta(description="A bearer key then publishes its events, and does nothing else.")
    ] = None
    access_key: AccessKeyText | None = None
    secret: Annotated[
        SecretText | None, Meta(description=f"{SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} characters.")
    ] = None
    replay_protected: Protected = False
    rate_per_s: PerSecond | None = None
    burst: Annotated[AtOnce | None, Meta(description="Goes with `rate_per_s`, of which it is twice as many.")] = None
    expires_at: Annotated[Instant | None, Meta(description="For a pair.")] = None


class KeyChange(Taken, frozen=True, kw_only=True):
    """A change; what is left out or null stays."""

    name: Name | None = None
    role: Role | None = None
    replay_protected: Protected | None = None
    rate_per_s: PerSecond | None = None
    burst: AtOnce | None = None


class Rotation(Taken, frozen=True, kw_only=True):
    """How a pair gets another secret."""

    overlap_s: Annotated[
        float, Meta(ge=0, le=OVERLAP_MAX_S, description="How long the secret of before stays good.")
    ] = OVERLAP_S
