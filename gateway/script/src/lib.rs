//! The only Rhai sandbox: limits, manifests, cases, worker process.
