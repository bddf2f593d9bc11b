"""A long mixed load with restarts, after which everything must be as it was before: `make soak`.

    storm's clients import ──┐
    calls that are cancelled ├──► two servers, one of which is restarted again and again ──► PostgreSQL
    small imports, timed ────┘              │
                                            └── samples: memory, open files, threads, connections, dead rows, times

The server that is never restarted is the one that is measured. What it needs in the last quarter of the time is
compared with the second: the first is for warming up. At the end the table and all counts must be those of the storm's
model.

Calls are cancelled at a steady rate because grpc.aio is known to leak there (grpc/grpc#43360), and so are streams whose
handler is in the middle of an answer (grpc/grpc#42295).
"""
