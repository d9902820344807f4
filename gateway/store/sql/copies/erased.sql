SELECT count(*) FROM athletes WHERE erased_at IS NOT NULL
