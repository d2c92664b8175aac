-- The tables that have lost a column by a command, whatever it was.
SELECT DISTINCT objid FROM pg_event_trigger_dropped_objects() WHERE classid = 'pg_class'::regclass AND objsubid > 0
