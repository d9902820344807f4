SELECT count(*), coalesce(sum(payload_bytes), 0), min(sealed_at) FROM blocks WHERE level < 1
