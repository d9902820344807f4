-- With their alerts. What an output was not told by then it will not be.
DELETE FROM delivery_steps WHERE kind < 4 AND recorded_at < ?1
    AND NOT EXISTS (SELECT 1 FROM alert_steps WHERE alert_steps.alert = delivery_steps.alert)
