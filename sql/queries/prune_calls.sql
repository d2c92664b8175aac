-- Deletes some calls that are older than so many days, of 24 hours each wherever clocks change. What budgets go by is kept for a month longer than any period lasts.
WITH old_hours AS (
  DELETE FROM rag._spent WHERE hour < now() - interval '62 days'
)
DELETE FROM rag._calls
WHERE id IN (SELECT id FROM rag._calls WHERE began < now() - $1 * interval '24 hours' ORDER BY began LIMIT $2)
