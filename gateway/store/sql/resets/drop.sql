DELETE FROM alert_resets WHERE alert = ?1 AND done_at IS NULL
