-- Alerts that are neither seen nor over, the most lately raised first: when they last went a step further, and how far that was.
SELECT alert,
       (SELECT max(recorded_at) FROM delivery_steps AS told WHERE told.alert = raised.alert AND told.kind IN (0, 3)),
       (SELECT max(level) FROM delivery_steps AS told WHERE told.alert = raised.alert AND told.kind = 3)
FROM alert_steps AS raised WHERE step = 0
    AND NOT EXISTS (SELECT 1 FROM alert_steps AS later WHERE later.alert = raised.alert AND later.step > 0)
ORDER BY id DESC LIMIT ?1
