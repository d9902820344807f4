-- What was refused of a device while it measured the athlete.
DELETE FROM quarantine WHERE EXISTS (
    SELECT 1 FROM assignments WHERE assignments.athlete = ?1 AND assignments.device = quarantine.device
        AND from_time <= refused_at AND (to_time IS NULL OR to_time > refused_at)
)
