-- name: chunk_next
-- The first chunk of a batch, in order, that is not done. $1 batch, $2 the chunk index to begin at.
SELECT chunk_index, record_count, runs, payload, keys
FROM chunk
WHERE batch_seq = $1
  AND chunk_index >= $2
  AND done_time IS NULL
ORDER BY chunk_index
LIMIT 1

-- name: chunk_settle
-- Marks a chunk as done, once. $1 batch, $2 chunk index, $3 the positions of rejected records.
UPDATE chunk
SET done_time = clock_timestamp(), rejected = $3
WHERE batch_seq = $1
  AND chunk_index = $2
  AND done_time IS NULL

-- name: chunk_set_rejected
-- Says anew which records of a chunk are rejected. $1 batch, $2 chunk index, $3 their positions.
UPDATE chunk
SET rejected = $3
WHERE batch_seq = $1
  AND chunk_index = $2
  AND rejected <> $3

-- name: chunk_any
-- A chunk of a batch by its place, whether or not it is done. $1 batch, $2 the chunk index to begin at.
SELECT chunk_index, record_count, runs, payload, keys
FROM chunk
WHERE batch_seq = $1
  AND chunk_index >= $2
ORDER BY chunk_index
LIMIT 1

-- name: chunk_count_rejected
-- How many records of each batch of an import were rejected in processing. $1 import id.
SELECT batch.batch_seq, batch.batch_id, sum(cardinality(chunk.rejected))::bigint AS records
FROM batch
JOIN chunk ON chunk.batch_seq = batch.batch_seq AND chunk.rejected <> '{}'
WHERE batch.import_id = $1
GROUP BY batch.batch_seq, batch.batch_id
ORDER BY batch.batch_seq

-- name: chunk_next_rejected
-- The next chunk of an import that has rejected records. $1 import id, $2 batch and $3 chunk index of the one before.
SELECT batch_seq, chunk_index, runs, payload, rejected
FROM chunk
WHERE batch_seq IN (SELECT batch_seq FROM batch WHERE import_id = $1 AND batch_seq >= $2)
  AND (batch_seq, chunk_index) > ($2, $3)
  AND rejected <> '{}'
ORDER BY batch_seq, chunk_index
LIMIT 1

-- name: chunk_contents
-- What was sent before, to compare with what is sent again. $1 batch, $2 offset.
SELECT start_offset, end_offset, content_crc32
FROM chunk
WHERE batch_seq = $1
  AND end_offset > $2
ORDER BY chunk_index

-- name: chunk_delete_of_import
-- Deletes the chunks of an import. $1 import id.
DELETE FROM chunk
WHERE batch_seq IN (SELECT batch_seq FROM batch WHERE import_id = $1)

-- name: chunk_import_expired
-- An import that ended long ago and still has its chunks; ours until the end of the transaction. $1 how long.
SELECT import_id
FROM import
WHERE finish_time < now() - $1::interval
  AND NOT chunks_deleted
ORDER BY finish_time
LIMIT 1
FOR UPDATE SKIP LOCKED

-- name: chunk_note_deleted
-- Remembers that an import has no chunks any more. $1 import id.
UPDATE import
SET chunks_deleted = true
WHERE import_id = $1
