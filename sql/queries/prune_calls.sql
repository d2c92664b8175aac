-- Deletes some calls older than the given number of days, each of 24 hours whatever the time zone. The sums for budgets are kept for a
-- month longer than the longest period.
WITH old_hours AS (
  DELETE FROM rag._spent WHERE hour < now() - interval '62 days'
)
DELETE FROM rag._calls
WHERE id IN (SELECT id FROM rag._calls WHERE began < now() - $1 * interval '24 hours' ORDER BY began LIMIT $2)
