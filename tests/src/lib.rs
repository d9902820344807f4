//! Harness, scenarios, simulation, benchmarks, tidy.
