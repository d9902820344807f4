DELETE FROM block_payloads WHERE (incarnation, block_index) IN (
    SELECT blocks.incarnation, blocks.block_index FROM blocks JOIN block_payloads USING (incarnation, block_index)
    WHERE sealed_at < ?1 AND level >= 3 ORDER BY blocks.incarnation, blocks.block_index LIMIT ?2
)
