SELECT alert FROM alert_steps WHERE step = 0 ORDER BY id DESC LIMIT ?1
