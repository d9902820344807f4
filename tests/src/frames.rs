//! SenML bodies as sensors write them.

/// Milliseconds since 1970 as SenML writes them: seconds with three decimals.
pub fn seconds(at_ms: i64) -> String {
    format!("{}.{:03}", at_ms.div_euclid(1_000), at_ms.rem_euclid(1_000))
}

/// One value at a time, as a SenML pack.
pub fn senml(at_ms: i64, quantity: &str, unit: &str, value: &str) -> Vec<u8> {
    format!(r#"[{{"bt":{},"n":"{quantity}","u":"{unit}","v":{value}}}]"#, seconds(at_ms)).into_bytes()
}

/// A heart rate.
pub fn heart_rate(at_ms: i64, per_minute: i64) -> Vec<u8> {
    senml(at_ms, "heart_rate", "beat/min", &per_minute.to_string())
}
