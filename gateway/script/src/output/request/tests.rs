use super::*;

fn post(url: &str) -> Request {
    Request::Http {
        url: url.to_owned(),
        content_type: "application/json".to_owned(),
        body: "{}".to_owned(),
        auth: Auth::None,
        signed: None,
    }
}

fn mqtt(topic: &str) -> Request {
    Request::Mqtt { topic: topic.to_owned(), body: String::new() }
}

fn serial(path: &str) -> Request {
    Request::Serial { path: path.to_owned(), baud: 9_600, body: String::new(), latest: false }
}

fn mail(server: &str, to: &str, subject: &str) -> Request {
    Request::Mail {
        server: server.to_owned(),
        from: "box@clinic.example.org".to_owned(),
        to: to.to_owned(),
        subject: subject.to_owned(),
        text: "text\n".to_owned(),
        login: None,
    }
}

fn buzz(line: i64, pattern: &[i64]) -> Request {
    Request::Gpio { chip: "gpiochip0".to_owned(), line, pattern: pattern.to_vec(), active_low: false }
}

fn show(address: i64, lines: &[&str]) -> Request {
    Request::Lcd { bus: "i2c-1".to_owned(), address, lines: lines.iter().map(|line| (*line).to_owned()).collect() }
}

#[test]
fn nothing_goes_where_nobody_granted_it() {
    let granted = [
        "http:hooks.example.org",
        "http:10.0.0.2:8123",
        "mqtt:clinic/#",
        "serial:/dev/ttyS1",
        "smtp:mail.example.org:587",
        "gpio:gpiochip0/17",
        "lcd:i2c-1/0x27",
    ]
    .map(|text| Capability::parse(text).unwrap());
    for good in [
        post("https://hooks.example.org/a?b=c"),
        post("https://hooks.example.org:443"),
        post("http://10.0.0.2:8123/api"),
        mqtt("clinic/hall"),
        serial("/dev/ttyS1"),
        mail("smtp://mail.example.org:587", "doctor@example.org", "high"),
        buzz(17, &[200, 100, 200]),
        show(0x27, &["high", "zebra"]),
    ] {
        assert_eq!(good.is_granted(&granted), Ok(()), "{good:?}");
        assert!(good.is_granted(&[]).is_err(), "deny by default");
    }
    for bad in [
        post("http://hooks.example.org/a"),
        post("https://hooks.example.org:8443/a"),
        post("https://hooks.example.org.evil.org/a"),
        post("https://evil.org/https://hooks.example.org"),
        mqtt("elsewhere"),
        serial("/dev/ttyS2"),
        mail("smtp://mail.example.org:25", "doctor@example.org", "high"),
        mail("smtps://evil.org:587", "doctor@example.org", "high"),
        buzz(4, &[200]),
        buzz(-17, &[200]),
        show(0x26, &[]),
        show(0x127, &[]),
    ] {
        assert!(matches!(bad.is_granted(&granted), Err(RequestError::NotGranted(_))), "{bad:?}");
    }
}

#[test]
fn what_is_no_url_topic_or_rate_is_refused() {
    for bad in [
        "",
        "https://",
        "ftp://a.org/",
        "https://user:pw@hooks.example.org/",
        "https://hooks.example.org@evil.org/",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/\r\nx: y",
        "https://hooks.example.org/#x",
        "https://hooks.example.org\\@evil.org/",
        "https://Hooks.example.org/",
        "https://[::1]/",
        "https://a.org:0/",
        "https://a.org:65536/",
        "https://a.org/a<b>{c}",
        "https://a.org/a|b",
        "https://a.org/`a`",
        "https://a.org/a[0]",
        "https://a.org/100%",
        "https://a.org/%4",
        "https://a.org/%zz",
        "https://a.org/%%41",
    ] {
        assert!(matches!(post(bad).check(), Err(RequestError::Url(_))), "{bad}");
    }
    let Request::Http { url, body, auth, signed, .. } = post("https://a.org/") else { unreachable!() };
    let typed = Request::Http { url, content_type: "text/plain\r\nx: y".to_owned(), body, auth, signed };
    assert!(matches!(typed.check(), Err(RequestError::Type(_))));
    let long = Request::Mqtt { topic: "a".to_owned(), body: "x".repeat(BODY_BYTES_MAX + 1) };
    assert!(matches!(long.check(), Err(RequestError::TooLong(_))));
    for topic in ["alerts/x", "a/#", "", "$SYS", "ä/x"] {
        assert!(matches!(mqtt(topic).check(), Err(RequestError::Topic(_))), "{topic}");
    }
}

#[test]
fn what_is_published_fits_into_a_packet_with_its_topic() {
    let of = |bytes: usize| Request::Mqtt { topic: "hall/lämp".to_owned(), body: "x".repeat(bytes) };
    let most = PACKET_BYTES_MAX - "hall/lämp".len() - 16;
    assert_eq!(of(most).check(), Ok(()));
    assert_eq!(of(most + 1).check(), Err(RequestError::PacketTooLong(PACKET_BYTES_MAX + 1)));
}

#[test]
fn a_url_is_what_a_uri_is_made_of() {
    for good in ["https://a.org/~x/%7Ba%7d/b;c=1?q=(1+2)&r=d/e?f", "https://a.org:8443/!$&'*,:@", "http://10.0.0.2"] {
        assert_eq!(post(good).check(), Ok(()), "{good}");
    }
}

#[test]
fn a_mail_has_one_recipient_and_one_line_of_subject() {
    let server = "smtp://mail.example.org:587";
    assert_eq!(mail(server, "doctor@example.org", "Grüße: high").check(), Ok(()));
    for to in ["", "a@b.org,c@d.org", "Doctor <a@b.org>", "a@b.org\r\nRCPT TO:<c@d.org>"] {
        assert!(matches!(mail(server, to, "x").check(), Err(RequestError::MailAddress(_))), "{to}");
    }
    for subject in ["", "high\r\nBcc: c@d.org", "a\nb", "\0", &"x".repeat(201)] {
        assert_eq!(mail(server, "a@b.org", subject).check(), Err(RequestError::Subject), "{subject:?}");
    }
    assert!(matches!(mail("mail.example.org:587", "a@b.org", "x").check(), Err(RequestError::MailServer(_))));
}

#[test]
fn the_text_of_a_mail_has_lines_and_tabs_and_nothing_else_that_steers() {
    let with = |text: &str| match mail("smtp://a.org:25", "a@b.org", "x") {
        Request::Mail { server, from, to, subject, login, .. } => {
            Request::Mail { server, from, to, subject, text: text.to_owned(), login }
        }
        other => other,
    };
    assert_eq!(with("one\n\ttwo, Grüße\n").check(), Ok(()));
    for bad in ["a\rb", "a\r\nb", "a\0b", "a\u{1b}[2Jb", "a\u{85}b"] {
        assert_eq!(with(bad).check(), Err(RequestError::MailText), "{bad:?}");
        assert_eq!(with(&mail_text(bad)).check(), Ok(()), "{bad:?}");
    }
    assert_eq!(mail_text("one\r\ntwo\rthree\u{7}\n"), "one\ntwo\nthree \n");
}

#[test]
fn a_password_does_not_travel_in_clear() {
    let with = |url: &str, to: Auth| match post(url) {
        Request::Http { url, content_type, body, signed, .. } => {
            Request::Http { url, content_type, body, auth: to, signed }
        }
        other => other,
    };
    let bearer = || Auth::Bearer("token".to_owned());
    assert_eq!(with("https://a.org/", bearer()).check(), Ok(()));
    assert_eq!(with("http://127.0.0.1:8080/", bearer()).check(), Ok(()), "it does not travel");
    assert_eq!(with("http://10.0.0.2/", bearer()).check(), Ok(()), "the host looks whether there is a token at all");
    let basic = Auth::Basic { user: "a:b".to_owned(), password: "password".to_owned() };
    assert!(matches!(with("https://a.org/", basic).check(), Err(RequestError::User(_))));
    let login = |server: &str| match mail(server, "a@b.org", "x") {
        Request::Mail { server, from, to, subject, text, .. } => {
            let login = Some(("box".to_owned(), "password".to_owned()));
            Request::Mail { server, from, to, subject, text, login }.check()
        }
        _ => unreachable!(),
    };
    assert_eq!((login("smtp://a.org:587"), login("smtps://a.org:465")), (Ok(()), Ok(())));
    assert_eq!(login("smtp-clear://a.org:25"), Err(RequestError::InClear));
}

#[test]
fn what_stands_on_a_display_is_replaced_and_nothing_else_is() {
    let latest = Request::Serial { path: "/dev/ttyS1".to_owned(), baud: 9_600, body: String::new(), latest: true };
    assert!(latest.replaces() && show(0x27, &[]).replaces());
    for other in [serial("/dev/ttyS1"), post("https://a.org/"), mqtt("hall"), buzz(1, &[200])] {
        assert!(!other.replaces(), "{other:?}");
    }
}

#[test]
fn patterns_and_displays_are_bounded() {
    assert_eq!(buzz(1, &[5_000, 5_000, 5_000]).check(), Ok(()));
    for bad in [&[][..], &[9], &[5_001], &[-200], &[5_000, 5_000, 5_000, 10], &[10; 65]] {
        assert_eq!(buzz(1, bad).check(), Err(RequestError::Pattern), "{bad:?}");
    }
    assert_eq!(show(0x27, &["12345678901234567890"; 4]).check(), Ok(()));
    for bad in [&["123456789012345678901"][..], &["a"; 5], &["a\nb"]] {
        assert_eq!(show(0x27, bad).check(), Err(RequestError::Display), "{bad:?}");
    }
}
