-- Halts first: none waits behind what was only counted, but for the count of the very release, which nobody takes after it.
SELECT leaf FROM (
    SELECT 0 AS rank, made_at, 1 AS turn, leaf FROM acts WHERE state = 0
    UNION ALL
    SELECT halt IS NULL, coalesce(halt, made_at), 0, leaf FROM (
        SELECT made_at, leaf, (SELECT min(acts.made_at) FROM acts WHERE acts.about = tallies.release AND acts.state = 0) AS halt
        FROM tallies WHERE state = 0
    )
) ORDER BY rank, made_at, turn LIMIT ?1
