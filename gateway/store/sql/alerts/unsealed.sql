SELECT id, recorded_at, alert, step, sealed_body, NULL FROM alert_steps
WHERE id > (SELECT alerts_sealed_up_to FROM journal_state) AND step <> 1 ORDER BY id LIMIT ?1
