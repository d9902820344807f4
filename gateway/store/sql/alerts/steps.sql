SELECT alert, step, sealed_body, recorded_at, delivered FROM alert_steps WHERE alert = ?1 ORDER BY step
