-- An acknowledgement (step 1) is neither sealed nor delivered: it goes with its alert.
DELETE FROM alert_steps WHERE alert IN (
    SELECT alert FROM alert_steps GROUP BY alert
    HAVING max(recorded_at) < ?1
       AND min(delivered OR step = 1) = 1
       AND max(CASE WHEN step <> 1 THEN id END) <= (SELECT alerts_sealed_up_to FROM journal_state)
)
