-- The newest 100,000 are kept: ten releases on the most devices a gateway enrols.
DELETE FROM firmware_outcomes WHERE at < (SELECT at FROM firmware_outcomes ORDER BY at DESC LIMIT 1 OFFSET 100000)
