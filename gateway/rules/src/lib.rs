//! Rules: windows, evaluation, alerts, replay.
//!
//! A rule is a folder: a manifest, a script that answers whether its condition holds, and cases. The evaluation is pure and
//! knows event time only, so the same entries give the same alerts, with the same ids: live, in a test, in a replay. It runs
//! in a worker process that the gateway kills and refills when it is late or dies. `README.md` is the reference for
//! those who write rules.
//!
//! | module | holds |
//! | --- | --- |
//! | [`library`] | a folder of rules, its hash |
//! | [`engine`] | entries in, alert events out |
//! | [`item`] | what of an entry reaches the rules |
//! | `devices`, [`arrivals`] | whose a message is; every message once, every stream forwards |
//! | `answers` | what a script that looks at values alone answered before |
//! | [`series`], [`window`], [`ranked`] | incremental windows |
//! | [`derive`] | quantities no sensor sends |
//! | [`scripted`] | quantities that plugins derive |
//! | [`baseline`] | what is usual for one athlete |
//! | [`gaps`], [`moments`] | interruptions; what helpers remember by name |
//! | `names` | names that are nobody's, or two things' |
//! | [`machine`] | hold, clear, cool-down, latch |
//! | [`input`], [`functions`] | what a script sees |
//! | [`snapshot`] | all an engine remembers, as bytes |
//! | [`id`] | alert ids and hashes |
//! | [`drill`] | the built-in rule that proves the alert path |
//! | [`check`] | cases run |
//! | [`backtest`] | a draft over history, beside the rules in force |
//! | [`replay`] | one alert again, and the state before it |
//! | [`history`] | versions of a rule: their difference, and putting two together |
//! | [`reference`](mod@reference) | page, JSON and definitions for those who write rules |
//! | [`lint`] | everything that is wrong with a rule |
//! | [`protocol`] | what parent and worker say to each other |
//! | [`worker`] | the worker process, restarted and refilled |

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

mod answers;
pub mod arrivals;
mod asked;
pub mod backtest;
pub mod baseline;
pub mod check;
pub mod derive;
mod devices;
pub mod drill;
pub mod engine;
pub mod functions;
pub mod gaps;
pub mod history;
pub mod id;
pub mod input;
pub mod item;
pub mod library;
pub mod lint;
pub mod machine;
pub mod moments;
mod names;
pub mod protocol;
pub mod ranked;
pub mod reference;
pub mod replay;
mod rule;
mod running;
pub mod scripted;
pub mod series;
pub mod snapshot;
mod state;
mod succession;
pub mod window;
pub mod worker;

pub use check::{read_rule_folder, run_cases, run_rule_folder, run_rule_texts, run_stream_texts};
pub use engine::{Engine, Fed, RuleFault, RuleStatus};
pub use id::{Subject, alert_id};
pub use item::Filter;
pub use library::{RuleSet, RuleSource};
pub use lint::{lint_folder, lint_rule, lint_rule_folder, lint_stream};
pub use protocol::worker_main;
pub use rule::VARIABLES;
pub use snapshot::SnapshotError;
pub use worker::{RulesError, RulesWorker};
