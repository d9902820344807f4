DELETE FROM alert_steps WHERE alert = ?1
