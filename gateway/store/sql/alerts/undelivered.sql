SELECT id, recorded_at, alert, step, sealed_body,
       (SELECT sealed_body FROM alert_resets WHERE alert_resets.alert = alert_steps.alert AND step = 2 AND done_at IS NOT NULL)
FROM alert_steps WHERE delivered = 0 AND step <> 1 ORDER BY id LIMIT ?1
