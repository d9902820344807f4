DELETE FROM alert_resets WHERE alert = ?1
