"""What is done with keys: make them, bring them along, rotate, change and revoke them.

Source: docs/contract/web-services.md §3.5
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from matrixhub.model.access import PROPERTY_ADMINS, Rate, RoleId
from matrixhub.model.errors import InvalidValue, WrongState
from matrixhub.model.ids import ApplicationId, KeyId, PropertyId, new_id
from matrixhub.model.key import Key, is_access_key, new_access_key, new_secret
from matrixhub.model.secret import Secret
from matrixhub.modules.access.roles import resolve_role
from matrixhub.modules.work import Platform
from matrixhub.store.access_keys import (
    change_key,
    create_access_key,
    revoke_access_key,
    rotate_access_key,
    show_key,
)
from matrixhub.store.keys import create_key, revoke_key
from matrixhub.store.sealing import Sealer
from matrixhub.store.sites import require_property

OVERLAP_S = 86_400.0
"""How long the secret of before is good after a rotation, unless it is said otherwise."""

OVERLAP_MAX_S = 30 * 86_400.0
SECRET_LENGTH_MIN = 8
SECRET_LENGTH_MAX = 256


@dataclass(frozen=True, kw_only=True, slots=True)
class AccessKeyDraft:
    """A pair to be made; one that exists elsewhere is brought along with `access_key` and `secret`."""

    name: str = ""
    role_id: RoleId = PROPERTY_ADMINS
    replay_protected: bool = False
    rate: Rate | None = None
    expires_at: datetime | None = None
    access_key: str | None = None
    secret: Secret | None = None


async def make_access_key(
    platform: Platform, sealer: Sealer, property_id: PropertyId, draft: AccessKeyDraft
) -> tuple[Key, Secret]:
    """A pair of the property, and its secret, which is given out here and never again.

    Raises: InvalidValue, NameTaken if the access key that is brought along exists, NotFound of property or role,
    StoreError.
    """
    now = platform.now()
    check_draft(draft, now)
    await require_property(platform.database, property_id)
    role_id = await resolve_role(platform.database, property_id, draft.role_id)
    key_id, secret = KeyId(new_id("key")), draft.secret or new_secret()
    await create_access_key(
        platform.database,
        sealer,
        property_id,
        key_id,
        name=draft.name,
        access_key=draft.access_key or new_access_key(),
        secret=secret,
        role_id=role_id,
        replay_protected=draft.replay_protected,
        rate=draft.rate,
        created_at=now,
        expires_at=draft.expires_at,
    )
    return await show_key(platform.database, property_id, key_id), secret


async def make_bearer_key(
    platform: Platform,
    property_id: PropertyId,
    *,
    name: str = "",
    manages: bool = False,
    application_id: ApplicationId | None = None,
    role_id: RoleId | None = None,
    rate: Rate | None = None,
) -> tuple[Key, Secret]:
    """A bearer key of the property, or of an application of it; it is given out here and never again.

    Without a role it has the one that follows from what it is for.

    Raises: InvalidValue, NotFound of property, application or role, Forbidden if the application was revoked,
    StoreError.
    """
    key_id, token = await create_key(
        platform.database,
        property_id,
        name,
        manages=manages,
        application_id=application_id,
        role_id=None if role_id is None else await resolve_role(platform.database, property_id, role_id),
        rate=rate,
    )
    return await show_key(platform.database, property_id, key_id), token


async def rotate_key(
    platform: Platform, sealer: Sealer, property_id: PropertyId, key_id: KeyId, *, overlap_s: float = OVERLAP_S
) -> tuple[Key, Secret]:
    """Give a pair another secret; the one of before stays good for the overlap.

    Raises: InvalidValue, WrongState for a bearer key, which has no second half, NotFound, StoreError.
    """
    if not 0 <= overlap_s <= OVERLAP_MAX_S:
        raise InvalidValue(
            f"an overlap is 0 to {OVERLAP_MAX_S:,.0f} seconds", fields=(("overlap_s", "is out of range"),)
        )
    if (await show_key(platform.database, property_id, key_id)).kind == "bearer":
        raise WrongState(f"{key_id} is a bearer key: make another one, and revoke this one once nobody uses it")
    now, secret = platform.now(), new_secret()
    until = now + timedelta(seconds=overlap_s) if overlap_s > 0 else None
    await rotate_access_key(platform.database, sealer, property_id, key_id, secret, now=now, previous_until=until)
    return await show_key(platform.database, property_id, key_id), secret


async def alter_key(
    platform: Platform,
    property_id: PropertyId,
    key_id: KeyId,
    *,
    name: str | None = None,
    role_id: RoleId | None = None,
    rate: Rate | None = None,
    replay_protected: bool | None = None,
) -> Key:
    """Change a key, from the next request on; what is None stays.

    Raises: InvalidValue for a bearer key that is to be protected against replays, NotFound of key or role, StoreError.
    """
    key = await show_key(platform.database, property_id, key_id)
    if replay_protected and key.kind == "bearer":
        raise InvalidValue(
            "only signatures can be protected against replays", fields=(("replay_protected", "not for a bearer key"),)
        )
    await change_key(
        platform.database,
        property_id,
        key_id,
        key.kind,
        name=name,
        role_id=None if role_id is None else await resolve_role(platform.database, property_id, role_id),
        rate=rate,
        replay_protected=replay_protected,
    )
    return await show_key(platform.database, property_id, key_id)


async def drop_key(platform: Platform, property_id: PropertyId, key_id: KeyId) -> None:
    """Make a key of whatever kind invalid, at once and in every process.

    Raises: NotFound if the property has no such valid key, StoreError.
    """
    if not await revoke_access_key(platform.database, property_id, key_id, platform.now()):
        await revoke_key(platform.database, property_id, key_id)


def check_draft(draft: AccessKeyDraft, now: datetime) -> None:
    """Whether such a pair can be. Raises: InvalidValue, which quotes no secret."""
    if (draft.access_key is None) != (draft.secret is None):
        raise InvalidValue(
            "an access key is brought along with its secret",
            fields=(("secret" if draft.secret is None else "access_key", "is missing"),),
        )
    if draft.access_key is not None and not is_access_key(draft.access_key):
        raise InvalidValue(
            "an access key is ASCII without `;`, 1 to 128 characters", fields=(("access_key", "is not one"),)
        )
    if draft.secret is not None:
        text = draft.secret.reveal()
        if not SECRET_LENGTH_MIN <= len(text) <= SECRET_LENGTH_MAX or not text.isprintable():
            what = f"is {SECRET_LENGTH_MIN} to {SECRET_LENGTH_MAX} characters that can be printed"
            raise InvalidValue(f"a secret {what}", fields=(("secret", what),))
    if draft.expires_at is not None and draft.expires_at <= now:
        raise InvalidValue("the key would have expired already", fields=(("expires_at", "is past"),))
