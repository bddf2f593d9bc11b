-- name: compressed_part_insert
-- Keeps a part of a compressed upload. $1 batch, $2 offset, $3 content.
INSERT INTO compressed_part (batch_seq, start_offset, content)
VALUES ($1, $2, $3)

-- name: compressed_part_get
-- The part that begins at an offset. $1 batch, $2 offset.
SELECT content
FROM compressed_part
WHERE batch_seq = $1
  AND start_offset = $2

-- name: compressed_part_lock_batch
-- A row if the batch has as many records as we know of; until the end of the transaction it has no others. $1 batch,
-- $2 how many.
--
-- The offset does not tell: a few compressed bytes may hold many records, which come in several chunks.
SELECT
FROM batch
WHERE batch_seq = $1
  AND upload_accepted + upload_rejected = $2
FOR NO KEY UPDATE

-- name: compressed_part_delete
-- Deletes the parts of a batch. $1 batch.
DELETE FROM compressed_part
WHERE batch_seq = $1

-- name: compressed_part_delete_of_import
-- Deletes the parts of an import. $1 import id.
DELETE FROM compressed_part
WHERE batch_seq IN (SELECT batch_seq FROM batch WHERE import_id = $1)
