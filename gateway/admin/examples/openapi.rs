//! Prints the description of the API: `cargo run -p pitchside-admin --example openapi > gateway/admin/openapi.json`.

use std::io::Write;

fn main() -> std::io::Result<()> {
    let text = pitchside_admin::openapi::text().map_err(std::io::Error::other)?;
    std::io::stdout().write_all(text.as_bytes())
}
