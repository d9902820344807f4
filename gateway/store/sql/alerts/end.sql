SELECT coalesce(max(id), 0) FROM alert_steps
