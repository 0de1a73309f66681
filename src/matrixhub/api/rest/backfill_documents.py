"""What the REST face takes and gives of backfills, as types; OpenAPI is made from them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from matrixhub.api.rest.documents import Count, Given, Id, Instant, Next, Seconds, Taken
from matrixhub.model.backfill import RATE, RATE_MAX, BackfillState
from matrixhub.model.subscription import Source

Rate = Annotated[int, Meta(ge=1, le=RATE_MAX, description="Most rows a second.")]
Since = Annotated[Instant | None, Meta(description="From that instant on; null: from the first that is kept.")]
Until = Annotated[Instant | None, Meta(description="Before that instant; null: everything that came until it began.")]
Exact = Annotated[bool, Meta(description="Whether they were counted; else PostgreSQL's guess.")]


class NewBackfill(Taken, frozen=True, kw_only=True):
    """Which past data to copy into the database."""

    source: Annotated[Source, Meta(description="Readings of sensors, or events of the log.")] = "sensors"
    since: Since = None
    until: Until = None
    rate: Rate = RATE
    subscription: Annotated[
        Id | None,
        Meta(description="Whose filter holds, and which brings what comes later. Needed where several lead there."),
    ] = None
    dry_run: Annotated[bool, Meta(description="Only tell how much it is about.")] = False


class BackfillPlanView(Given, frozen=True, kw_only=True):
    """What a backfill would be about."""

    property: str
    database: str
    subscription: str
    source: Source
    since: Since
    until: Until
    rate: Rate
    estimate: Count
    estimate_exact: Exact
    seconds: Annotated[Seconds, Meta(description="How long it takes at its rate, if nothing makes it wait.")]
    dry_run: bool = True


class BackfillView(Given, frozen=True, kw_only=True):
    """A backfill as it stands."""

    id: str
    property: str
    database: str
    subscription: Annotated[str, Meta(description="Whose filter holds, and which brings what comes later.")]
    source: Source
    since: Since
    until: Until
    rate: Rate
    state: Annotated[
        BackfillState,
        Meta(description="`asked` until the store has what came before; `failed` where trying again cannot help."),
    ]
    waiting: Annotated[str, Meta(description="What it waits for that is no fault; empty if for nothing.")]
    estimate: Count
    estimate_exact: Exact
    written: Annotated[Count, Meta(description="Rows that were not there.")]
    present: Annotated[Count, Meta(description="Rows that were there: they came live, or before a crash.")]
    refused: Annotated[Count, Meta(description="What PostgreSQL does not take; `last_error` has a reason.")]
    done_pct: Annotated[float, Meta(ge=0, le=100, description="How much is done, by the estimate. Percent.")]
    reached_at: Annotated[Instant | None, Meta(description="Up to which instant everything is copied.")]
    failures: Annotated[int, Meta(ge=0, description="Times in a row that the database could not be written to.")]
    last_error: str
    retry_at: Instant | None
    created_at: Instant
    begun_at: Instant | None
    ended_at: Instant | None


class BackfillPage(Given, frozen=True, kw_only=True):
    """Backfills, newest first."""

    items: list[BackfillView]
    next: Next
