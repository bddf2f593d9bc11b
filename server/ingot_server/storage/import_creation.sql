-- name: import_lock_account
-- Keeps others from making an import for the account until we are done. $1 account.
SELECT
FROM account
WHERE account_id = $1
FOR NO KEY UPDATE

-- name: import_list_unfinished
-- The unfinished imports of an account, those that only validate or the others, the oldest first. $1 account, $2 whether
-- they only validate.
SELECT import_id
FROM import
WHERE account_id = $1
  AND finish_time IS NULL
  AND validate_only = $2
ORDER BY import_id

-- name: import_create
-- Makes an import. $1 account, $2 table id, $3 table name, $4 branch or NULL, $5 key fields, $6 key fields of the table,
-- $7 kind, $8 reading, $9 rules, $10 labels, $11 request id or NULL, $12 mode, $13 whether it only validates, $14 whether
-- it is staged, $15 max_deleted_ratio or NULL, $16 max_errors or NULL, $17 max_error_ratio or NULL, $18 the import that it
-- tries again or NULL.
INSERT INTO import (
    account_id, table_id, table_name, branch_id, key_fields, known_key_fields, kind, reading, rules, labels, request_id,
    mode, validate_only, staged, max_deleted_ratio, max_errors, max_error_ratio, retry_of
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)
RETURNING import_id

-- name: import_find_request
-- The import that was made with a request id. $1 account, $2 request id.
SELECT *
FROM import_report
WHERE account_id = $1
  AND request_id = $2
