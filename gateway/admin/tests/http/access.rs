//! Who may do what.

use pitchside_admin::table::{Access, ROUTES};
use pitchside_admin::{Limits, Role, UserName};
use std::time::Duration;

use crate::client::Gateway;
use crate::scripted::PASSWORD;

#[tokio::test]
async fn without_signing_in_only_public_routes_answer() {
    let gateway = Gateway::new().await;
    for route in ROUTES.iter().filter(|route| matches!(route.access, Access::SignedIn(_))) {
        for cookie in ["", "cookie: __Host-pitchside=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\r\n"] {
            let reply = gateway.ask(&format!("{} {}", route.method, route.path), cookie, "").await;
            assert_eq!((reply.status, reply.problem().as_str()), (401, "not-signed-in"), "{}", route.path);
        }
    }
    assert_eq!(gateway.ask("GET /api/v1/health", "", "").await.status, 200);
}

#[tokio::test]
async fn a_role_may_what_the_table_says_and_no_more() {
    let gateway = Gateway::new().await;
    for (number, role) in (1..).zip([Role::Viewer, Role::Clinician, Role::Admin]) {
        // Each has its own: what one has reset no other can.
        let id = gateway.clinic.raise(number, "ada", "39.9");
        let headers = format!("{}content-type: application/json\r\n", gateway.sign_in(role.name()).await);
        for route in ROUTES.iter().filter(|route| !route.path.ends_with("/events") && !route.path.ends_with("/logout"))
        {
            let Access::SignedIn(needed) = route.access else { continue };
            let path = route.path.replace("{id}", &id.to_string());
            let body = if path.ends_with("/reset") { "{}" } else { "" };
            let reply = gateway.ask(&format!("{} {path}", route.method), &headers, body).await;
            assert_eq!(reply.status, if role >= needed { 200 } else { 403 }, "{role} {path}");
        }
    }
}

#[tokio::test]
async fn the_cookie_is_kept_from_scripts_other_sites_and_plain_http() {
    let gateway = Gateway::new().await;
    let reply = gateway.login("viewer", PASSWORD).await;
    let cookie = reply.header("set-cookie").unwrap();
    assert!(cookie.starts_with("__Host-pitchside="));
    for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Strict", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"));
    assert_eq!(reply.json()["role"], "viewer");
}

#[tokio::test]
async fn wrong_names_and_wrong_passwords_get_the_same_answer() {
    let gateway = Gateway::new().await;
    let wrong = gateway.login("viewer", "not the password").await;
    assert_eq!((wrong.status, wrong.problem().as_str()), (401, "login-refused"));
    assert!(wrong.header("set-cookie").is_none());
    let control = "\u{7}";
    for (name, password) in
        [("nobody", PASSWORD), ("", PASSWORD), (control, ""), ("viewer", ""), ("viewer", &"x".repeat(2_000))]
    {
        let reply = gateway.login(name, password).await;
        assert_eq!((reply.status, &reply.body), (401, &wrong.body), "{name:?}");
    }
}

#[tokio::test]
async fn guessing_is_slowed_down_but_signing_in_is_not() {
    let gateway = Gateway::new().await;
    for _ in 0..15 {
        gateway.sign_in("viewer").await;
    }
    for _ in 0..10 {
        assert_eq!(gateway.login("viewer", "a guess").await.status, 401);
    }
    let reply = gateway.login("viewer", PASSWORD).await;
    assert_eq!((reply.status, reply.problem().as_str()), (429, "too-many-attempts"));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=6).contains(&wait), "{wait}");
}

#[tokio::test]
async fn signing_out_ends_it_for_that_cookie_alone() {
    let gateway = Gateway::new().await;
    let (one, other) = (gateway.sign_in("viewer").await, gateway.sign_in("viewer").await);
    let reply = gateway.ask("POST /api/v1/logout", &one, "").await;
    assert_eq!(reply.status, 204);
    assert!(reply.header("set-cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(gateway.ask("GET /api/v1/me", &one, "").await.status, 401);
    assert_eq!(gateway.ask("GET /api/v1/me", &other, "").await.status, 200);
}

#[tokio::test]
async fn somebody_removed_is_signed_out_before_long() {
    let limits = Limits { user_check_interval: Duration::from_millis(20), ..Limits::default() };
    let gateway = Gateway::with(limits).await;
    let cookie = gateway.sign_in("viewer").await;
    gateway.clinic.users.lock().remove("viewer");
    while gateway.ask("GET /api/v1/me", &cookie, "").await.status == 200 {}
    assert!(gateway.server.sign_ins().is_empty());
    let cookie = gateway.sign_in("admin").await;
    gateway.server.sign_ins().end_user(&UserName::parse("admin").unwrap());
    assert_eq!(gateway.ask("GET /api/v1/me", &cookie, "").await.status, 401);
}
