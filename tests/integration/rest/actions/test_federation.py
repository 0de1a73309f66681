"""Federated users at the faces: who gets in with which token. Source: docs/contract/web-services.md §3.3"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from tests.integration.rest.actions.matrix import Matrix
from tests.integration.rest.rig import Client
from typer.testing import CliRunner, Result

from matrixhub.cli.app import app as matrixhub_app
from matrixhub.model.access import PROPERTY_ADMINS, PUBLISHERS, RoleId
from matrixhub.model.federation import APPLICATIONS_MAX, IdentityApplication
from matrixhub.model.iam import GroupDocument, Members, PolicySet, Statement, TrustClause
from matrixhub.modules.access.roles import create_group
from matrixhub.modules.federation import (
    NewIdentityApplication,
    change_identity_application,
    register_identity_application,
    remove,
)
from matrixhub.testing.identity_provider import Answer, IdentityProvider, signed_token, signing_key

pytestmark = pytest.mark.asyncio(loop_scope="session")

MAP = "scgrids.buildingZoneMap"
CREATE = "scteams.createIncidentWithoutAssignee"
CLIENT = "orchard-client"


@pytest_asyncio.fixture(loop_scope="session")
async def provider() -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider() as found:
        yield found


def asked(at: IdentityProvider, **fields: Any) -> NewIdentityApplication:
    made = NewIdentityApplication(
        name="Staff",
        provider="other",
        issuer=at.issuer,
        audience=CLIENT,
        role_id=PROPERTY_ADMINS,
        ca_pem=at.authority.ca_pem,
    )
    return replace(made, **fields)


async def registered(matrix: Matrix, at: IdentityProvider, **fields: Any) -> IdentityApplication:
    return await register_identity_application(matrix.platform, matrix.property_id, asked(at, **fields))


def with_token(application: IdentityApplication, token: str, prefix: str = "") -> Mapping[str, str]:
    return {"Authorization": prefix + token, "x-sc-auth": application.id}


@pytest.mark.parametrize("prefix", ["", "Bearer ", "bearer "])
async def test_a_user_of_the_provider_gets_in_with_a_bare_token_or_bearer(
    matrix: Matrix, provider: IdentityProvider, prefix: str
) -> None:
    application = await registered(matrix, provider)
    headers = with_token(application, provider.token(CLIENT), prefix)
    assert len(await matrix.data(MAP, headers=headers)) == len(matrix.site.zones)


async def test_an_access_token_of_cognito_gets_in_by_its_client(matrix: Matrix, provider: IdentityProvider) -> None:
    application = await registered(matrix, provider, provider="cognito")
    token = provider.token(CLIENT, aud=None, client_id=CLIENT, token_use="access")
    assert await matrix.data(MAP, headers=with_token(application, token))
    identity = provider.token(CLIENT, token_use="id")
    assert await matrix.refused(MAP, headers=with_token(application, identity)) == (401, "TOKEN_INVALID")


async def test_records_name_the_user_by_the_claim_of_the_application(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    application = await registered(matrix, provider, user_claim="email")
    headers = with_token(application, provider.token(CLIENT, email="ann@example.org", email_verified=True))
    made = await matrix.data(CREATE, matrix.example(CREATE), headers=headers)
    async with matrix.rig.database.connection() as connection:
        by = await connection.fetchval("select created_by from work_orders where id = $1", made["TaskId"])
    assert by == "ann@example.org"


@pytest.mark.parametrize(
    "changes",
    [
        {"iss": "https://id.example.org"},
        {"aud": "another-client"},
        {"exp": 1_000},
        {"nbf": 99_999_999_999},
        {"iat": 99_999_999_999},
        {"sub": None},
        {"scope": "openid"},
    ],
)
async def test_a_token_that_is_not_good_is_refused(
    matrix: Matrix, provider: IdentityProvider, changes: dict[str, Any]
) -> None:
    application = await registered(matrix, provider)
    reply = await matrix.send(MAP, headers=with_token(application, provider.token(CLIENT, **changes)))
    assert (reply.status, reply.json()["code"], reply.json()["reason"]) == (401, "TOKEN_INVALID", "MH-R032")
    assert reply.headers["WWW-Authenticate"]


async def test_a_token_that_somebody_else_signed_is_refused_and_the_provider_not_asked_for_each(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    application = await registered(matrix, provider)
    for number in range(20):
        header = {"alg": "RS256", "kid": f"forged-{number}"}
        token = signed_token(header, provider.claims(CLIENT), signing_key(2))
        assert await matrix.refused(MAP, headers=with_token(application, token)) == (401, "TOKEN_INVALID")
    under_its_name = signed_token({"alg": "RS256", "kid": "k1"}, provider.claims(CLIENT), signing_key(2))
    assert await matrix.refused(MAP, headers=with_token(application, under_its_name)) == (401, "TOKEN_INVALID")
    assert provider.reads == 1


@pytest.mark.parametrize("quid", ["quid_" + "0" * 20, "nonsense", "'; drop table", "quid_\x85"])
async def test_a_qualified_id_that_names_no_application_is_refused(
    matrix: Matrix, provider: IdentityProvider, quid: str
) -> None:
    headers = {"Authorization": provider.token(CLIENT), "x-sc-auth": quid}
    assert await matrix.refused(MAP, headers=headers) == (401, "TOKEN_INVALID")
    assert provider.reads == 0


async def test_a_key_of_the_hub_is_no_token_of_a_provider(matrix: Matrix, provider: IdentityProvider) -> None:
    application = await registered(matrix, provider)
    assert await matrix.refused(MAP, headers={"x-sc-auth": application.id}) == (401, "TOKEN_INVALID")


async def test_disabling_and_removing_hold_at_once(matrix: Matrix, provider: IdentityProvider) -> None:
    application = await registered(matrix, provider)
    headers = with_token(application, provider.token(CLIENT))
    assert await matrix.data(MAP, headers=headers)
    for enabled in (False, True):
        changes = {"enabled": enabled}
        await change_identity_application(matrix.platform, matrix.property_id, application.id, changes)
        assert (await matrix.send(MAP, headers=headers)).status == (200 if enabled else 401)
    await remove(matrix.platform, matrix.property_id, application.id)
    assert await matrix.refused(MAP, headers=headers) == (401, "TOKEN_INVALID")


async def test_a_user_reaches_the_property_of_the_application_and_no_other(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    application = await registered(matrix, provider)
    headers = with_token(application, provider.token(CLIENT))
    other = await matrix.rig.property()
    assert await matrix.refused(MAP, headers=headers, propid=other) == (403, "IMPLICIT_DENY")
    elsewhere = await register_identity_application(matrix.platform, other, asked(provider))
    foreign = with_token(elsewhere, provider.token(CLIENT))
    assert await matrix.refused(MAP, headers=foreign) == (403, "IMPLICIT_DENY")
    assert (await matrix.send(MAP, headers=foreign, propid="")).status == 400


async def test_users_have_the_role_of_the_application(matrix: Matrix, provider: IdentityProvider) -> None:
    application = await registered(matrix, provider, role_id=PUBLISHERS)
    headers = with_token(application, provider.token(CLIENT))
    assert await matrix.refused(MAP, headers=headers) == (403, "IMPLICIT_DENY")


async def test_a_group_of_users_gives_its_role_to_a_user_or_to_the_users_seat(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    application = await registered(matrix, provider, role_id=RoleId("GridsViewer"))
    async with matrix.rig.database.connection() as connection:
        await connection.execute("update seats set email = 'Ann@example.org' where id = $1", matrix.seat_id)
    administrators = GroupDocument(
        name="administrators", role=PROPERTY_ADMINS, members=Members(users=("bob",), seats=(matrix.seat_id,))
    )
    await create_group(matrix.platform, matrix.property_id, administrators, actor="ann")

    async def may(**claims: Any) -> bool:
        headers = with_token(application, provider.token(CLIENT, **claims))
        assert (await matrix.send(MAP, headers=headers)).status == 200
        return (await matrix.send(CREATE, matrix.example(CREATE), headers=headers)).status == 200

    assert await may(sub="bob")
    assert await may(sub="u-17", email="ann@example.org", email_verified=True)
    assert not await may(sub="u-17", email="ann@example.org")
    assert not await may(sub="u-17", email="eve@example.org", email_verified=True)
    assert not await may(sub="carol")


async def test_nobody_is_taken_for_a_user_of_another_application_by_what_he_is_called(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    trusted = await registered(matrix, provider)
    other = await registered(matrix, provider, role_id=RoleId("GridsViewer"))
    users = Members(users=(f"{trusted.id}:bob",))
    document = GroupDocument(name="administrators", role=PROPERTY_ADMINS, members=users)
    await create_group(matrix.platform, matrix.property_id, document, actor="ann")
    headers = with_token(other, provider.token(CLIENT, sub=f"{trusted.id}:bob"))
    assert await matrix.data(MAP, headers=headers)
    assert await matrix.refused(CREATE, matrix.example(CREATE), headers=headers) == (403, "IMPLICIT_DENY")


async def test_explicit_denials_of_the_boundary_role_hold_whatever_role_the_user_has(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    deny = Statement(effect="deny", operations=("scteams.*",))
    limits = await matrix.rig.role(matrix.property_id, policy_sets=(PolicySet(name="limits", statements=(deny,)),))
    application = await registered(matrix, provider, boundary_id=limits)
    headers = with_token(application, provider.token(CLIENT))
    assert await matrix.data(MAP, headers=headers)
    assert await matrix.refused(CREATE, matrix.example(CREATE), headers=headers) == (403, "EXPLICIT_DENY")


async def test_a_role_may_trust_one_application_alone(matrix: Matrix, provider: IdentityProvider) -> None:
    trusted, other = await registered(matrix, provider), await registered(matrix, provider)
    clause = TrustClause(effect="allow", principals=(f"srn:*:APP/{trusted.id}/*",))
    role = await matrix.rig.role(matrix.property_id, "scgrids.*", trust=(clause,))
    for application, status in ((trusted, 200), (other, 403)):
        changes = {"role_id": role}
        await change_identity_application(matrix.platform, matrix.property_id, application.id, changes)
        headers = with_token(application, provider.token(CLIENT))
        assert (await matrix.send(MAP, headers=headers)).status == status


async def test_while_the_provider_is_away_from_the_beginning_the_hub_says_so(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    application = await registered(matrix, provider)
    provider.fault = Answer(status=500)
    reply = await matrix.send(MAP, headers=with_token(application, provider.token(CLIENT)))
    assert (reply.status, reply.json()["reason"]) == (503, "MH-R033")
    assert int(reply.headers["Retry-After"]) >= 1


async def test_a_property_has_only_so_many_applications(matrix: Matrix, provider: IdentityProvider) -> None:
    first = await registered(matrix, provider)
    async with matrix.rig.database.connection() as connection:
        await connection.execute(
            "insert into identity_applications select (jsonb_populate_record(a, jsonb_build_object('id', a.id || n))).*"
            " from identity_applications a, generate_series(2, $2) n where a.id = $1",
            first.id,
            APPLICATIONS_MAX,
        )
    reply = await matrix.client.post("/identity-applications", document(provider))
    assert reply.code == "MH-R017"
    listed = (await matrix.client.get("/identity-applications")).json()["items"]
    assert len(listed) == APPLICATIONS_MAX


def document(at: IdentityProvider, **fields: Any) -> dict[str, Any]:
    return {
        "provider": "other",
        "issuer": at.issuer,
        "audience": CLIENT,
        "role": PROPERTY_ADMINS,
        "ca_pem": at.authority.ca_pem,
        **fields,
    }


async def test_over_rest_an_application_is_registered_changed_and_removed(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    made = await matrix.client.post("/identity-applications", document(provider), Idempotency_Key="once")
    assert made.status == 201
    again = await matrix.client.post("/identity-applications", document(provider), Idempotency_Key="once")
    assert (again.headers["Idempotency-Replayed"], again.json()) == ("true", made.json())
    quid, found = made.json()["id"], made.json()
    assert made.headers["Location"] == f"/hub/v1/identity-applications/{quid}"
    assert (found["jwks_url"], found["token_kind"], found["user_claim"]) == (provider.jwks_url, "identity", "sub")
    path = f"/identity-applications/{quid}"
    assert (await matrix.client.get(path)).json() == found
    headers = {"Authorization": provider.token(CLIENT), "x-sc-auth": quid}
    assert await matrix.data(MAP, headers=headers)
    changed = await matrix.client.ask("PATCH", path, {"enabled": False, "boundary_role": "GridsViewer"})
    assert (changed.json()["enabled"], changed.json()["boundary_role"], changed.headers["ETag"]) == (
        False,
        "GridsViewer",
        '"2"',
    )
    assert await matrix.refused(MAP, headers=headers) == (401, "TOKEN_INVALID")
    old = await matrix.client.ask("PATCH", path, {"enabled": True}, headers={"If-Match": '"1"'})
    assert old.code == "MH-R012"
    cleared = await matrix.client.ask(
        "PATCH", path, {"boundary_role": None, "jwks_url": None}, headers={"If-Match": '"2"'}
    )
    assert (cleared.json()["boundary_role"], cleared.json()["jwks_url"]) == (None, provider.jwks_url)
    assert (await matrix.client.ask("DELETE", path)).status == 204
    assert (await matrix.client.get(path)).code == "MH-R008"


async def test_a_user_gets_in_over_rest_too_and_records_say_who_it_was(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    application = await registered(matrix, provider)
    client = Client(matrix.client.url, matrix.client.session, "")
    headers = with_token(application, provider.token(CLIENT, sub="ann"), "Bearer ")
    added = await client.ask("POST", "/solutions/usage/add", headers=headers)
    assert (added.status, added.json()["status"], added.json()["requested_by"]) == (200, "PENDING", "ann")
    assert (await client.ask("GET", "/solutions", headers={**headers, "Authorization": "Bearer x"})).code == "MH-R032"
    other = f"/solutions?property={await matrix.rig.property()}"
    assert (await client.ask("GET", other, headers=headers)).code == "MH-R014"


@pytest.mark.parametrize(
    "fields, named",
    [
        ({"issuer": "http://id.example.org"}, "issuer"),
        ({"role": "matrixhub#Operator"}, "role"),
        ({"role": "no-such-role"}, "role"),
        ({"boundary_role": "no-such-role"}, "boundary_role"),
        ({"provider": "okta"}, "provider"),
        ({"audience": ""}, "audience"),
        ({"ca_pem": "nonsense"}, "ca_pem"),
        ({"token_kind": "refresh"}, "token_kind"),
    ],
)
async def test_over_rest_what_is_wrong_is_named(
    matrix: Matrix, provider: IdentityProvider, fields: dict[str, Any], named: str
) -> None:
    told = await matrix.client.post("/identity-applications", document(provider, **fields))
    assert (told.code, told.wrong[0]) == ("MH-R010", named)
    assert (await matrix.client.get("/identity-applications")).json()["items"] == []


async def test_keys_at_an_address_that_is_not_allowed_are_refused_when_it_is_registered(
    matrix: Matrix, provider: IdentityProvider
) -> None:
    told = await matrix.client.post("/identity-applications", document(provider, jwks_url="https://169.254.169.254/k"))
    assert told.code == "MH-R010"
    assert "169.254.169.254" in told.json()["detail"]


async def commanded(matrix: Matrix, *args: str) -> Result:
    """A command on the hub of these tests, run beside them."""
    environment = {
        "MATRIXHUB_ENGINES__POSTGRES__DSN": matrix.rig.database.dsn,
        "MATRIXHUB_ENGINES__NATS__URL": "nats://127.0.0.1:4222",
        "MATRIXHUB_SECRETS__MASTER_KEY": "0f" * 32,
        "MATRIXHUB_DELIVERIES__EGRESS_ALLOW": '["127.0.0.0/8"]',
        "COLUMNS": "300",
    }
    given = ("identity-application", *args)
    return await asyncio.to_thread(lambda: CliRunner().invoke(matrixhub_app, given, env=environment))


async def test_by_command_an_application_is_registered_listed_disabled_and_removed(
    matrix: Matrix, provider: IdentityProvider, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text(provider.authority.ca_pem)
    of = ("--property", matrix.property_id)
    given = ("--issuer", provider.issuer, "--audience", CLIENT, "--role", PROPERTY_ADMINS, "--ca-file", str(ca))
    made = await commanded(matrix, "create", *of, *given, "--name", "Staff", "--json")
    assert made.exit_code == 0, made.output
    quid = json.loads(made.stdout)["id"]
    headers = {"Authorization": provider.token(CLIENT), "x-sc-auth": quid}
    assert await matrix.data(MAP, headers=headers)
    listed = await commanded(matrix, "list", *of)
    assert all(text in listed.stdout for text in (quid, "Staff", provider.issuer, CLIENT, PROPERTY_ADMINS))
    assert f"{quid} is disabled" in (await commanded(matrix, "disable", quid, *of)).stdout
    assert await matrix.refused(MAP, headers=headers) == (401, "TOKEN_INVALID")
    assert f"{quid} is enabled" in (await commanded(matrix, "enable", quid, *of)).stdout
    foreign = await commanded(matrix, "remove", quid, "--property", await matrix.rig.property())
    assert (foreign.exit_code, "MH-R008" in foreign.output) == (1, True)
    assert await matrix.data(MAP, headers=headers)
    assert (await commanded(matrix, "remove", quid, *of)).exit_code == 0
    assert json.loads((await commanded(matrix, "list", *of, "--json")).stdout) == []
    unreachable = await commanded(matrix, "create", *of, *given, "--jwks-url", "https://10.1.2.3/keys")
    assert (unreachable.exit_code, "10.1.2.3" in unreachable.output) == (1, True)
