"""The file of rejected records: written for people, mended by them, and read back.

    chunk log, record_error ──► collecting  each record once, with all that is wrong with it
                                   │
                                   ├── members   NDJSON: the record, and `ingot:` members before its own
                                   └── columns   CSV: which fields have columns; `cells` says how a value becomes a cell
                                   ▼
                                exporting   pieces of a file ──► a spreadsheet, an editor
                                                                        │
                                decoding   takes away what was added ◄──┘

Whoever takes the file back sees no mark but the name `ingot:errors`. So all that is needed stands in the names of
columns and members, and what is written is read as it was: a text that looks like a number, a field called
`ingot:errors`, an apostrophe, an empty text beside a missing one. `cells` and `members` hold both directions.
"""
