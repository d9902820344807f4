//! Outbox, upload, receipts, backoff.
