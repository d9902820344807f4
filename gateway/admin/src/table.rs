//! Every route there is. What is not in this table does not exist, whatever the filters say: a route whose access nobody
//! has decided on cannot be reached.

use http::Method;

use crate::view::Role;

/// Who may use a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Anybody.
    Public,
    /// Whoever is signed in with this role or a higher one.
    SignedIn(Role),
    /// Admins, and programs on this machine.
    AdminOrLoopback,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteEntry {
    /// Its method.
    pub method: Method,
    /// Its path; `{..}` stands for one segment.
    pub path: &'static str,
    /// Who may.
    pub access: Access,
    /// Whether a body belongs to it.
    pub body: bool,
}

const fn route(method: Method, path: &'static str, access: Access, body: bool) -> RouteEntry {
    RouteEntry { method, path, access, body }
}

const VIEWER: Access = Access::SignedIn(Role::Viewer);

/// The routes. Everything else below `/api/` and `/metrics` is refused; other paths are files of the web app.
pub const ROUTES: &[RouteEntry] = &[
    route(Method::POST, "/api/v1/login", Access::Public, true),
    route(Method::POST, "/api/v1/logout", VIEWER, false),
    route(Method::GET, "/api/v1/me", VIEWER, false),
    route(Method::GET, "/api/v1/live", VIEWER, false),
    route(Method::GET, "/api/v1/events", VIEWER, false),
    route(Method::GET, "/api/v1/alerts", VIEWER, false),
    route(Method::POST, "/api/v1/alerts/{id}/acknowledge", Access::SignedIn(Role::Clinician), false),
    route(Method::POST, "/api/v1/alerts/{id}/reset", Access::SignedIn(Role::Clinician), true),
    route(Method::GET, "/api/v1/blocks", VIEWER, false),
    route(Method::GET, "/api/v1/health", Access::Public, false),
    route(Method::GET, "/api/v1/openapi.json", VIEWER, false),
    route(Method::GET, "/metrics", Access::AdminOrLoopback, false),
];

/// What a path and method lead to.
#[derive(Debug, PartialEq, Eq)]
pub enum Found {
    /// A route of the table.
    Route(&'static RouteEntry),
    /// A file of the web app.
    File,
    /// The path exists for these methods only.
    Method(Vec<Method>),
    /// Nothing.
    Nothing,
}

/// Looks a request up.
pub fn find(method: &Method, path: &str) -> Found {
    let here: Vec<&RouteEntry> = ROUTES.iter().filter(|entry| matches(entry.path, path)).collect();
    if let Some(entry) = here.iter().find(|entry| entry.method == *method) {
        return Found::Route(entry);
    }
    if !here.is_empty() {
        return Found::Method(here.iter().map(|entry| entry.method.clone()).collect());
    }
    if path == "/api" || path.starts_with("/api/") || path.starts_with("/metrics") {
        return Found::Nothing;
    }
    if *method == Method::GET || *method == Method::HEAD {
        return Found::File;
    }
    Found::Method(vec![Method::GET, Method::HEAD])
}

fn matches(pattern: &str, path: &str) -> bool {
    let (mut wanted, mut given) = (pattern.split('/'), path.split('/'));
    loop {
        match (wanted.next(), given.next()) {
            (None, None) => return true,
            (Some(wanted), Some(given)) if wanted == given => {}
            (Some(wanted), Some(given)) if wanted.starts_with('{') && !given.is_empty() => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_found_exactly_or_not_at_all() {
        let leads_to = |method: Method, path| match find(&method, path) {
            Found::Route(entry) => entry.path.to_owned(),
            other => format!("{other:?}"),
        };
        assert_eq!(leads_to(Method::GET, "/api/v1/live"), "/api/v1/live");
        assert_eq!(leads_to(Method::POST, "/api/v1/alerts/ab/acknowledge"), "/api/v1/alerts/{id}/acknowledge");
        assert_eq!(leads_to(Method::POST, "/api/v1/live"), "Method([GET])");
        assert_eq!(leads_to(Method::GET, "/assets/index.js"), "File");
        assert_eq!(leads_to(Method::POST, "/"), "Method([GET, HEAD])");
        for nothing in [
            "/api",
            "/api/",
            "/api/v1/live/",
            "/api/v1//live",
            "/api/v2/live",
            "/api/v1/alerts//acknowledge",
            "/metrics/",
        ] {
            assert_eq!(leads_to(Method::GET, nothing), "Nothing", "{nothing}");
        }
    }
}
