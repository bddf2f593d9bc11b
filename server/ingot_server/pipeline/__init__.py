"""Works: takes a stream of records in, makes it durable, and moves it to its table exactly once.

    client stream
       │  receiving    offsets, decoding, checks of syntax        → what is wrong is kept, never fatal
       ▼
    chunks in PostgreSQL    compressed, with their indexes        → durable: acknowledged
       │  worker       leases a batch, takes its chunks in order
       ▼
       │  processing   keys, then one transaction: records, errors, counts, "this chunk is done"
       ▼
    the table ───► progress, to everybody who watches

The end of a stream is not the end of an upload: a client that cancels or dies looks the same to the server. Only
`finish` with the right total completes a batch. After a crash the client goes on at the committed offset, and a worker,
here or elsewhere, takes the batch over when the lease has run out.
"""
