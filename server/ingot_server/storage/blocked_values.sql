-- name: blocked_value_any
-- Whether the account has blocked anything. $1 account.
SELECT EXISTS (SELECT FROM blocked_value WHERE account_id = $1)

-- name: blocked_value_find
-- Which of some values are blocked. $1 account, $2 types, $3 values, side by side.
--
-- LATERAL and LIMIT ask for one look into the index for each: see identifiers.sql.
SELECT wanted.type, wanted.value
FROM unnest($2::text[], $3::text[]) AS wanted (type, value)
CROSS JOIN LATERAL (
    SELECT
    FROM blocked_value
    WHERE account_id = $1
      AND type = wanted.type COLLATE "C"
      AND value = wanted.value COLLATE "C"
    LIMIT 1
) AS found

-- name: blocked_value_add
-- Blocks values. $1 account, $2 types, $3 values, side by side.
INSERT INTO blocked_value (account_id, type, value)
SELECT $1, type, value
FROM unnest($2::text[], $3::text[]) AS added (type, value)
ORDER BY type, value
ON CONFLICT (account_id, type, value) DO NOTHING

-- name: blocked_value_remove
-- Takes values off the list. $1 account, $2 types, $3 values, side by side.
DELETE FROM blocked_value
WHERE account_id = $1
  AND (type, value) IN (SELECT type, value FROM unnest($2::text[], $3::text[]) AS removed (type, value))

-- name: blocked_value_list
-- A page of blocked values. $1 account, $2 type or '', $3 and $4 type and value of the last of the page before, $5 how
-- many.
SELECT type, value, create_time
FROM blocked_value
WHERE account_id = $1
  AND ($2 = '' OR type = $2)
  AND (type, value) > ($3, $4)
ORDER BY type, value
LIMIT $5
