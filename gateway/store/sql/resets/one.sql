SELECT sealed_body, done_at FROM alert_resets WHERE alert = ?1 AND done_at IS NOT NULL
