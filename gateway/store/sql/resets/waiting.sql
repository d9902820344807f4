SELECT alert FROM alert_resets WHERE done_at IS NULL ORDER BY asked_at LIMIT ?1
