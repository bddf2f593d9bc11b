-- Limits of what an account may send.

-- How many bytes the accepted records of a batch had, as JSON.
ALTER TABLE batch ADD COLUMN received_bytes bigint NOT NULL DEFAULT 0;
