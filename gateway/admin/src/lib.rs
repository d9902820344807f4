//! HTTP API, events, the web app.
