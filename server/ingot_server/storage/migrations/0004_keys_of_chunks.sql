-- The keys of the records of a chunk, in their order, with NUL between them, compressed with zstd; NULL if whoever
-- processes the chunk is to read them.
ALTER TABLE chunk ADD COLUMN keys bytea;
