-- Keys of athletes, of whatever generation, that have no copy.
SELECT count(*) FROM athlete_keys WHERE NOT EXISTS (
    SELECT 1 FROM key_copies WHERE key_copies.athlete = athlete_keys.athlete AND key_copies.generation = athlete_keys.generation
)
