SELECT id FROM alert_steps WHERE alert = ?1 AND step = 0
