"""What the words of Ingot mean: plain values, the states of an import, and the tree of errors.

Nothing here does any input or output, and nothing here knows gRPC or PostgreSQL.
"""
