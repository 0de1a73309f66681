"""What a carrier is made of, in the order of its work: read, take turns, send, save; and one module for each order.

| Module | What it knows |
|---|---|
| `shelf.py`, `reader.py` | what comes next of the stream, and where the next push ends |
| `schedule.py`, `turns.py` | when the next attempt is due, since when they have failed, and what goes first |
| `identity.py`, `sending.py`, `outcome.py` | one attempt, and what it means |
| `parts.py`, `aside.py` | what is broken up, and what is set aside |
| `steps.py` | what is saved, and where the subscription stands by that |
| `strict.py`, `side_by_side.py`, `latest.py`, `overtaking.py` | the orders, each made of the above |
| `wish.py`, `redrive.py`, `replay.py` | what comes again because somebody asked for it |
| `kit.py` | all of it, for one subscription |
"""
