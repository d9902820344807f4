SELECT alert, step, sealed_body FROM alert_steps WHERE step = 0
