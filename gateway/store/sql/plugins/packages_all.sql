SELECT sha256, name, version, signer, archive, note, installed_at FROM plugin_packages ORDER BY name, sha256
