"""The platform's own modules: what people and clients do with places, devices and work. Their acts make events.

A function here is one act: it reads and locks what it concerns, asks a pure function what becomes of it, saves that,
and states what happened. The faces (`api`, `cli`) hold no logic; they call these.
"""
