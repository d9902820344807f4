//! What one call of a script may use, and what a whole worker may.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Bounds on one compile or one call. Every number is a maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Bytes of source text.
    pub source_bytes: usize,
    /// Operations as Rhai counts them (about one a syntax node).
    pub operations: u64,
    /// Nested calls of script functions.
    pub call_depth: usize,
    /// Nesting of expressions, as written.
    pub expression_depth: usize,
    /// Bytes of one string.
    pub string_bytes: usize,
    /// Items of one array or blob, nested ones counted.
    pub array_items: usize,
    /// Entries of one object map, nested ones counted.
    pub map_items: usize,
    /// Variables alive at once.
    pub variables: usize,
    /// Functions in one script.
    pub functions: usize,
    /// Wall-clock time of one call. One that hardly ran in it is spared: a busy machine is no fault of a script.
    pub wall: Duration,
    /// Bytes by which the process may grow during one call. Only a worker can measure it.
    pub memory_bytes: u64,
}

impl Limits {
    /// What a rule may use for one reading.
    pub const RULE: Self = Self {
        source_bytes: 64 * 1024,
        operations: 50_000,
        call_depth: 16,
        expression_depth: 48,
        string_bytes: 4 * 1024,
        array_items: 4_096,
        map_items: 512,
        variables: 128,
        functions: 128,
        wall: Duration::from_millis(100),
        memory_bytes: 16 * 1024 * 1024,
    };

    /// What a decoder may use for one payload.
    pub const DECODER: Self = Self {
        operations: 500_000,
        string_bytes: 64 * 1024,
        array_items: 16_384,
        wall: Duration::from_millis(200),
        ..Self::RULE
    };
}

/// Bounds on a worker process, fixed at its birth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerLimits {
    /// Bytes of address space beyond what the process has when it starts to serve.
    pub memory_bytes: u64,
    /// Bytes of one request or answer.
    pub frame_bytes: u32,
    /// How long the process may take to say it is ready.
    pub start: Duration,
    /// How far it stands back behind its parent where both want the processor (nice(2)).
    pub nice: i32,
}

impl Default for WorkerLimits {
    fn default() -> Self {
        Self { memory_bytes: 192 * 1024 * 1024, frame_bytes: 16 * 1024 * 1024, start: Duration::from_secs(10), nice: 0 }
    }
}
