-- name: hung_copy_end
-- Ends the sessions of ours that have waited too long for the data of a COPY. $1 how long.
SELECT count(pg_terminate_backend(pid))
FROM pg_stat_activity
WHERE datname = current_database()
  AND usename = current_user
  AND application_name = current_setting('application_name')
  AND state = 'active'
  AND wait_event = 'ClientRead'
  AND query_start < clock_timestamp() - $1::interval
