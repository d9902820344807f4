SELECT release, device, reason, counts, at FROM firmware_outcomes WHERE confirmed = 0
