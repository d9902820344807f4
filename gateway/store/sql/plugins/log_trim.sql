DELETE FROM plugin_log WHERE name = ?1 AND deed = ?2 AND id <=
    coalesce((SELECT id FROM plugin_log WHERE name = ?1 AND deed = ?2 ORDER BY id DESC LIMIT 1 OFFSET ?3), -1)
