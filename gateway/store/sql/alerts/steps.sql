SELECT alert, step, sealed_body, recorded_at FROM alert_steps WHERE alert = ?1 ORDER BY step
