DELETE FROM device_sessions WHERE device = ?1 AND made NOT IN
    (SELECT made FROM device_sessions WHERE device = ?1 ORDER BY made DESC LIMIT ?2)
