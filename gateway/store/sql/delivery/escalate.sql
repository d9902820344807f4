-- Only of an alert that still waits: neither seen nor over.
INSERT INTO delivery_steps (alert, kind, level, recorded_at)
SELECT ?1, 3, ?2, ?3
WHERE (SELECT count(*) FROM alert_steps WHERE alert = ?1) = 1 AND EXISTS (SELECT 1 FROM alert_steps WHERE alert = ?1 AND step = 0)
ON CONFLICT (alert, kind, level) DO NOTHING
