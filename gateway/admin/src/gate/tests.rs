use super::*;

#[test]
fn the_port_is_no_part_of_the_host_name() {
    for (host, name) in [
        ("box.local", Some("box.local")),
        ("box.local:8443", Some("box.local")),
        ("127.0.0.1:1", Some("127.0.0.1")),
        ("[::1]", Some("::1")),
        ("[::1]:8443", Some("::1")),
        ("", None),
        (":8443", None),
        ("box:", None),
        ("box:x", None),
        ("box:+1", None),
        ("box:99999", None),
        ("::1", None),
        ("[::1", None),
        ("[::1]x", None),
    ] {
        assert_eq!(host_name(host), name, "{host}");
    }
}

fn request(method: Method, host: &str, origins: &[&str]) -> Request<()> {
    let mut request = Request::builder().method(method).uri("/").header(header::HOST, host);
    for origin in origins {
        request = request.header(header::ORIGIN, *origin);
    }
    request.body(()).unwrap()
}

#[test]
fn only_our_own_page_may_change_anything() {
    let refused = Err(Problem::WrongOrigin);
    for (method, origins, expected) in [
        (Method::GET, &[][..], Ok(())),
        (Method::POST, &[], refused.clone()),
        (Method::POST, &["https://box:8443"], Ok(())),
        (Method::POST, &["http://box:8443"], refused.clone()),
        (Method::POST, &["https://box"], refused.clone()),
        (Method::POST, &["null"], refused.clone()),
        (Method::POST, &["https://box:8443", "https://evil"], refused.clone()),
        (Method::GET, &["https://evil"], refused),
    ] {
        assert_eq!(check_origin(&request(method.clone(), "box:8443", origins)), expected, "{method} {origins:?}");
    }
}

#[test]
fn a_cookie_given_twice_is_none() {
    let with = |lines: &[&str]| {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::COOKIE, HeaderValue::from_str(line).unwrap());
        }
        cookie(&headers).map(str::to_owned)
    };
    assert_eq!(with(&["a=b; __Host-pitchside=xyz; c=d"]).as_deref(), Some("xyz"));
    assert_eq!(with(&["pitchside=xyz"]), None);
    assert_eq!(with(&["__Host-pitchside=x; __Host-pitchside=y"]), None);
    assert_eq!(with(&["__Host-pitchside=x", "__Host-pitchside=x"]), None);
}

#[test]
fn metrics_are_for_this_machine_or_an_admin() {
    let Found::Route(route) = table::find(&Method::GET, "/metrics") else { panic!("no such route") };
    let from = |address: &str| check_access(route, None, Peer(address.parse().unwrap()));
    assert_eq!(from("127.0.0.1"), Ok(()));
    assert_eq!(from("::ffff:127.0.0.1"), Ok(()));
    assert_eq!(from("192.168.1.9"), Err(Problem::MetricsForbidden));
}
