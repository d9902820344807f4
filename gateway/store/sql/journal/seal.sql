UPDATE journal_state SET sealed_up_to = ?1, alerts_sealed_up_to = max(alerts_sealed_up_to, ?2)
