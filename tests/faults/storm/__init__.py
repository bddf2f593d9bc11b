"""Random imports while everything around them breaks, and a plain model of what must come out: `make faults`.

    client processes ──► link ──► two server processes ──► a link each ──► PostgreSQL
            │                                                                 │
            └── what was acknowledged ──► compared ◄── what is there ─────────┘

A round is a number of strikes: a process is killed or frozen, a connection is cut or stalled, an answer is swallowed.
Meanwhile the clients import one file after another. At the end of the round they come to rest, and the table, all
counts, all lists of errors and the last word of all watchers must be those of the model.

One seed gives the strikes, their order, their pauses and what is imported. How far the imports are when a strike comes
depends on the machine, so the same seed is the same plan, though not the same instant.
"""
