UPDATE alert_steps SET delivered = 1 WHERE id = ?1
