-- Alerts that are over and seen (steps 0, 1 and 2), recorded before ?1, delivered, and in blocks with R3: their steps are
-- not after ?2. An acknowledgement (step 1) is neither sealed nor delivered: it goes with its alert.
DELETE FROM alert_steps WHERE alert IN (
    SELECT alert FROM alert_steps GROUP BY alert
    HAVING count(*) = 3
       AND max(recorded_at) < ?1
       AND min(delivered OR step = 1) = 1
       AND max(CASE WHEN step <> 1 THEN id END) <= ?2
)
