INSERT INTO plugin_packages (sha256, name, version, signer, archive, note, installed_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (sha256) DO UPDATE SET signer = excluded.signer, note = excluded.note, installed_at = excluded.installed_at
