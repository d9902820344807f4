-- When, by the gateway's clock, so that it is known later; anything but 0 means that it went out, and 1 that it did before times were kept.
UPDATE alert_steps SET delivered = ?2 WHERE id = ?1
