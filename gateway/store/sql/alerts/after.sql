SELECT id, recorded_at, alert, step, sealed_body FROM alert_steps WHERE id > ?2 AND step <> 1 ORDER BY id LIMIT ?1
