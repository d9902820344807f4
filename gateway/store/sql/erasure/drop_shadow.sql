DELETE FROM shadow_log WHERE id = ?1
