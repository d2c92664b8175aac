-- Keeps the 20 longest steps of each day, owner, agent and kind, and deletes the others.
DELETE FROM rag._slow_step s
USING (
  SELECT day, owner, agent, kind, id,
         row_number() OVER (PARTITION BY day, owner, agent, kind ORDER BY duration_ms DESC, id) AS place
  FROM rag._slow_step
  WHERE day = ANY ($1::date[])) l
WHERE l.place > 20
  AND (s.day, s.owner, s.agent, s.kind, s.id) = (l.day, l.owner, l.agent, l.kind, l.id)
