"""The Ingot server: takes streams of records in, and writes them to PostgreSQL exactly once.

    rpc        hears: one short method per RPC, messages to and from domain values
    pipeline   works: stream to durable chunks, chunks to table rows, progress to watchers
    storage    keeps: PostgreSQL, one module and one .sql file per table
    domain     means: what the words are, and which moves are legal

Imports go down this list, never up. `app` builds everything and stops it in reverse order.
"""
