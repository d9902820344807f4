INSERT INTO acts (leaf_hash, about, leaf, made_at) VALUES (?1, ?2, ?3, ?4) ON CONFLICT (leaf_hash) DO NOTHING
