-- The tables that lost a column through a command of any kind.
SELECT DISTINCT objid FROM pg_event_trigger_dropped_objects() WHERE classid = 'pg_class'::regclass AND objsubid > 0
