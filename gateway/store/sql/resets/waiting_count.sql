SELECT count(*) FROM alert_resets WHERE done_at IS NULL
