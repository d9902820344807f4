SELECT alert FROM alert_steps AS raised WHERE step = 0
    AND NOT EXISTS (SELECT 1 FROM alert_steps AS later WHERE later.alert = raised.alert AND later.step = 2)
ORDER BY id DESC LIMIT ?1
