"""`make soak`: load with random SIGKILL of the hub and its engines for a given time; then the account of every reading.

    python -m tests.acceptance.soak --seconds 600 --seed 7

Exit code 1 if a reading was lost, came out of order, or came again in anything but a repeat of its old request; if more
requests were repeated than there were kills; or if the balance is not exact.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from tests.acceptance.hub import DEADLINE_S, Customer, Hub, Load, by_device, free_port

VICTIMS = ("hub", "postgres", "nats-server", "both engines", "everything")


async def kill(hub: Hub, victim: str) -> None:
    """Kill, and bring back what does not come back by itself."""
    if victim in ("hub", "everything"):
        await asyncio.to_thread(hub.kill if victim == "hub" else hub.kill_everything)
        await asyncio.to_thread(hub.start)
        return
    for engine in ("postgres", "nats-server") if victim == "both engines" else (victim,):
        await asyncio.to_thread(hub.kill_engine, engine)
    await asyncio.to_thread(hub.wait_ready)


async def soak(seconds: float, rng: random.Random) -> dict[str, Any]:
    """Run the load and the kills; the account."""
    kills: Counter[str] = Counter()
    with Hub.started(port=free_port()) as hub:
        customer = Customer()
        async with customer.receiver:
            await hub.subscribe(customer)
            until = time.monotonic() + seconds
            async with Load(hub, senders=4, batch=30, pause_s=0.005) as load:
                while time.monotonic() < until:
                    await asyncio.sleep(rng.uniform(0.2, 3))
                    kills[victim := rng.choice(VICTIMS)] += 1
                    await kill(hub, victim)
                    print(f"{load.accepted:>10,} accepted, {sum(kills.values()):>4} kills, last: {victim}", flush=True)
            await customer.wait_received(load.sent)
            shown = await hub.show(customer)
            deadline = time.monotonic() + DEADLINE_S
            while shown["pending"] and time.monotonic() < deadline:
                shown = await hub.show(customer)  # the last position may not be saved yet
    found = account(customer, load)
    parts = {name: shown[name] for name in ("delivered", "pending", "parked", "expired", "skipped") if name in shown}
    return found | {
        "kills": sum(kills.values()),
        "kills_by_victim": dict(kills),
        "repeats_per_kill": round(found["requests_repeated_under_their_id"] / max(1, sum(kills.values())), 3),
        "balance": parts,
        "missing_in_the_balance": len(load.sent) - sum(parts.values()),
    }


def account(customer: Customer, load: Load) -> dict[str, Any]:
    """What the customer has, against what the hub said to have on disk."""
    known: dict[str, object] = {}
    first: dict[tuple[str, int], None] = {}
    repeats = strangers = 0
    for taken in customer.taken:
        before = known.setdefault(taken.request_id, taken.items)
        if before is not taken.items:
            repeats += 1
            strangers += before != taken.items
        else:
            strangers += sum(key in first for key in taken.keys)
            first.update(dict.fromkeys(taken.keys))
    return {
        "accepted": len(load.sent),
        "requests": len(customer.taken),
        "lost": len(set(load.sent) - customer.received),
        "never_sent": len(customer.received - set(load.sent)),
        "inversions": sum(
            before > after for instants in by_device(first).values() for before, after in itertools.pairwise(instants)
        ),
        "in_order": by_device(first) == by_device(load.sent),
        "requests_repeated_under_their_id": repeats,
        "readings_repeated_otherwise": strangers,
    }


def is_right(result: Mapping[str, Any]) -> bool:
    """Whether the account is as promised."""
    wrong = ("lost", "never_sent", "inversions", "readings_repeated_otherwise", "missing_in_the_balance")
    return (
        not any(result[name] for name in wrong)
        and result["in_order"]
        and result["requests_repeated_under_their_id"] <= result["kills"]
        and result["balance"]["delivered"] == result["accepted"]
    )


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    wish = parser.parse_args()
    print(f"seed {wish.seed}", flush=True)
    result = asyncio.run(soak(wish.seconds, random.Random(wish.seed)))
    for name, value in result.items():
        print(f"{name.replace('_', ' ')}: {value}")
    return 0 if is_right(result) else 1


if __name__ == "__main__":
    raise SystemExit(main())
