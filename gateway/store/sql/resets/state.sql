SELECT EXISTS (SELECT 1 FROM alert_steps WHERE alert = ?1 AND step = 0), EXISTS (SELECT 1 FROM alert_steps WHERE alert = ?1 AND step = 2)
