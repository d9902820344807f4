SELECT id, recorded_at, alert, step, sealed_body,
       (SELECT sealed_body FROM alert_resets WHERE alert_resets.alert = alert_steps.alert AND done_at IS NOT NULL)
FROM alert_steps WHERE step = 2 AND delivered <> 0 AND recorded_at >= ?1 ORDER BY id DESC LIMIT ?2
