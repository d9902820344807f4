-- Unsigned order of two signed columns: a negative one is the larger.
UPDATE device_sessions SET ceiling = CASE
    WHEN (ceiling < 0) = (?2 < 0) THEN max(ceiling, ?2)
    ELSE min(ceiling, ?2)
END WHERE id = ?1
