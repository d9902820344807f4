-- Halts first: none waits behind what was only counted.
SELECT leaf FROM (
    SELECT 0 AS rank, made_at, leaf FROM acts WHERE state = 0
    UNION ALL
    SELECT 1 AS rank, made_at, leaf FROM tallies WHERE state = 0
) ORDER BY rank, made_at LIMIT ?1
