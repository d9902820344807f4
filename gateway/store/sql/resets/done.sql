SELECT position, alert FROM alert_resets WHERE done_at IS NOT NULL ORDER BY position, alert
