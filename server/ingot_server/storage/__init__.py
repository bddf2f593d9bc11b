"""Keeps everything in PostgreSQL: one module and one .sql file per table.

What survives a crash is what was committed, and it is arranged so that this is enough: a chunk's row holds the records
as they were received (the log) and whether they were applied (the ledger). A chunk may be tried twice, after a crash
or by two workers; its effects are committed once, because the records, their errors, the counts and "this chunk is
done" share one transaction.

Functions are named object, then verb. They take a connection where the caller decides the transaction, and the
Database where they stand alone.
"""
