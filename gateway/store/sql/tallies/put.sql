INSERT INTO tallies (release, confirmed, failed, leaf_hash, leaf, made_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)
ON CONFLICT (release) DO UPDATE SET confirmed = excluded.confirmed, failed = excluded.failed, leaf_hash = excluded.leaf_hash,
    leaf = excluded.leaf, made_at = excluded.made_at, state = 0
