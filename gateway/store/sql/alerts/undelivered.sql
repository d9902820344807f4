SELECT id, recorded_at, alert, step, sealed_body FROM alert_steps WHERE delivered = 0 AND step <> 1 ORDER BY id LIMIT ?1
