DELETE FROM alert_resets WHERE done_at IS NOT NULL AND alert NOT IN (
    SELECT alert FROM alert_resets WHERE done_at IS NOT NULL ORDER BY position DESC LIMIT ?1
)
