//! SQLite: journal, blocks, devices, alerts.
