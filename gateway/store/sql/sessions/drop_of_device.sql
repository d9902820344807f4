DELETE FROM device_sessions WHERE device = ?1
