-- The last alert step of the unbroken run of blocks, from the first one on, that have R3.
WITH waiting AS (
    SELECT incarnation AS i, block_index AS b FROM blocks WHERE level < 3 ORDER BY incarnation, block_index LIMIT 1
)
SELECT alerts_up_to FROM blocks
WHERE (incarnation, block_index)
    < (coalesce((SELECT i FROM waiting), 9223372036854775807), coalesce((SELECT b FROM waiting), 0))
ORDER BY incarnation DESC, block_index DESC LIMIT 1
