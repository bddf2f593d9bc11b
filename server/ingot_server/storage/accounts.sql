-- name: account_ensure
-- The id of the account with a name, made if needed. $1 name.
WITH made AS (
    INSERT INTO account (name)
    VALUES ($1)
    ON CONFLICT (name) DO NOTHING
    RETURNING account_id
)
SELECT account_id FROM made
UNION ALL
SELECT account_id FROM account WHERE name = $1
LIMIT 1

-- name: api_key_create
-- Stores a key. $1 key id, $2 account, $3 SHA-256 of the secret, $4 scopes, $5 label, $6 lifetime or NULL,
-- $7 whether it is a sandbox key.
INSERT INTO api_key (key_id, account_id, secret_sha256, scopes, label, expire_time, sandbox)
VALUES ($1, $2, $3, $4, $5, now() + $6::interval, $7)

-- name: api_key_find
-- What is needed to check a key, and whether it may be used now. $1 key id.
SELECT
    key_id,
    account_id,
    account.name AS account,
    secret_sha256,
    scopes,
    sandbox,
    revoke_time IS NULL AND (expire_time IS NULL OR expire_time > now()) AS usable
FROM api_key
JOIN account USING (account_id)
WHERE key_id = $1

-- name: api_key_list
-- All keys, oldest first, without their secrets.
SELECT key_id, account.name AS account, scopes, label, api_key.create_time, expire_time, revoke_time, sandbox
FROM api_key
JOIN account USING (account_id)
ORDER BY api_key.create_time, key_id

-- name: api_key_revoke
-- Ends the use of a key for good. $1 key id.
UPDATE api_key
SET revoke_time = coalesce(revoke_time, now())
WHERE key_id = $1
