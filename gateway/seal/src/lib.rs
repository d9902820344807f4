//! Batches to segments to blocks; keys.
