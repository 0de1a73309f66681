"""Comments on incidents and tasks. Source: docs/contract/incidents.md §2.4"""

from __future__ import annotations

import uuid

from matrixhub.model.errors import LimitViolated, MissingParameters, WrongParameters
from matrixhub.model.ids import PropertyId, TaskId
from matrixhub.model.work_order import Comment, outcome
from matrixhub.modules.work import Platform, Work
from matrixhub.modules.workforce.work_orders import NOTHING, Said, fitting, locked, note
from matrixhub.store import work_orders as store

COMMENTS_MAX = 200
COMMENT_LENGTH_MAX = 4_000
USER_NAME_LENGTH_MAX = 256


async def add_comment(
    platform: Platform,
    property_id: PropertyId,
    task_id: TaskId,
    comment: str,
    user_name: str,
    *,
    actor: str,
    said: Said = NOTHING,
) -> Comment:
    """Write a comment. Raises: NotFound, MissingParameters, WrongParameters, LimitViolated."""
    _check(comment, user_name)
    async with platform.work(property_id, actor) as work:
        await _locked(work, task_id, said, "added")
        if await store.count_comments(work.connection, task_id) >= COMMENTS_MAX:
            raise LimitViolated(f"at most {COMMENTS_MAX} comments are kept")
        made = Comment(
            id=str(uuid.uuid4()),
            work_order_id=task_id,
            user_name=user_name,
            comment=comment,
            created_by=actor,
            created_at=work.now,
            updated_at=work.now,
        )
        await store.add_comment(work.connection, made)
    return made


async def update_comment(
    platform: Platform,
    property_id: PropertyId,
    task_id: TaskId,
    comment_id: str,
    comment: str,
    user_name: str,
    *,
    actor: str,
    said: Said = NOTHING,
) -> Comment:
    """Write a comment anew. Raises: NotFound, MissingParameters, WrongParameters."""
    _check(comment, user_name)
    async with platform.work(property_id, actor) as work:
        await _locked(work, task_id, said, "changed")
        return await store.update_comment(
            work.connection, task_id, comment_id, comment=comment, user_name=user_name, now=work.now
        )


async def delete_comment(
    platform: Platform, property_id: PropertyId, task_id: TaskId, comment_id: str, *, actor: str, said: Said = NOTHING
) -> None:
    """Remove a comment. Raises: NotFound."""
    async with platform.work(property_id, actor) as work:
        await _locked(work, task_id, said, "deleted")
        await store.delete_comment(work.connection, task_id, comment_id)


async def list_comments(
    platform: Platform, property_id: PropertyId, task_id: TaskId, said: Said = NOTHING
) -> list[Comment]:
    """All comments, oldest first. Raises: NotFound if there is no such incident or task, WrongParameters."""
    async with platform.database.connection() as connection:
        fitting(await store.read_work_order(connection, property_id, task_id), said)
        return await store.list_comments(connection, property_id, task_id)


async def _locked(work: Work, task_id: TaskId, said: Said, what: str) -> None:
    order = await locked(work, task_id, said)
    outcome(order.type, order.status, "comment")
    await note(work, [order], "comment", {"comment": what})


def _check(comment: str, user_name: str) -> None:
    if not comment.strip() or not user_name.strip():
        raise MissingParameters("a comment needs Comment and UserName")
    if len(comment) > COMMENT_LENGTH_MAX or len(user_name) > USER_NAME_LENGTH_MAX:
        raise WrongParameters(f"Comment has at most {COMMENT_LENGTH_MAX} characters, UserName {USER_NAME_LENGTH_MAX}")
