"""Hears: one short method per RPC.

    guard      every call first: who is it, may they, and what becomes of errors
    requests   checks the fields of a request and turns them into domain values
    wire       turns domain values into messages
    status     turns domain errors into status codes with details

A method reads its request, asks `pipeline` or `storage`, and wraps the answer. Errors travel as exceptions to the
guard.
"""
