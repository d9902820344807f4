//! What the script of an output can use, for the reference of plugins. Each example is true for [`EXAMPLE_CASE`]; a test runs
//! them all.

use crate::reference::{Entry, EntryKind, Rows};

/// The event of the examples, as the step of a case.
pub const EXAMPLE_CASE: &str = "case the example\n  raised high heart-rate-ceiling heart_rate 201 /min athlete zebra device strap-1 \
                                message \"Heart rate at the ceiling.\" ->\n";

use EntryKind::{Function, Property, Variable};

const EVENT: Rows = &[
    (Variable, "event", "one step in an alert's life, a map", "event.step == \"raised\""),
    (
        Property,
        "step",
        "`raised`, `escalated`, `acknowledged`, `cleared` or `drill`: those that the manifest's `hears` names",
        "event.step == \"raised\"",
    ),
    (Property, "level", "how far it has escalated, from 1; 0: not", "event.level == 0"),
    (Property, "by", "who acknowledged or reset it, of those steps; else ()", "event.by == ()"),
    (Property, "id", "of the alert: 32 hexadecimal digits, the same each time", "event.id.len() == 32"),
    (Property, "at_ms", "when, by the device's clock, since 1970", "event.at_ms == 1767225600000"),
    (Property, "rule", "which rule raised it", "event.rule == \"heart-rate-ceiling\""),
    (Property, "rule_version", "the version of that rule", "event.rule_version == \"1.0.0\""),
    (
        Property,
        "category",
        "what it is about: `physiological`, or `technical` (a sensor, a link, the box)",
        "event.category == \"physiological\"",
    ),
    (Property, "priority", "`low`, `medium` or `high`", "event.priority == \"high\""),
    (Property, "message", "what the rule said", "event.message.contains(\"Heart rate\")"),
    (Property, "athlete", "whose reading it was: a pseudonym, or ()", "event.athlete == \"zebra\""),
    (Property, "device", "what measured it", "event.device == \"strap-1\""),
    (Property, "quantity", "what was measured", "event.quantity == \"heart_rate\""),
    (Property, "value", "the value that raised it, a decimal; () for a gap", "event.value.to_string() == \"201\""),
    (Property, "unit", "its unit, a UCUM code", "event.unit == \"/min\""),
];

const TO_ASK: Rows = &[
    (
        Function,
        "http_post(url, content_type, body)",
        "a POST with the header `idempotency-key`; well if the answer is 2xx; no redirects; needs `http:HOST`",
        "type_of(http_post(\"https://hooks.example.org/a\", \"application/json\", \"{}\")) == \"request\"",
    ),
    (
        Function,
        "mqtt_publish(topic, body)",
        "a message to whoever is subscribed, not retained; needs `mqtt:TOPIC`",
        "type_of(mqtt_publish(\"hall/lamp\", \"on\")) == \"request\"",
    ),
    (
        Function,
        "serial_write(path, baud, text)",
        "bytes to a port the box does not read itself; needs `serial:PATH`",
        "type_of(serial_write(\"/dev/ttyUSB1\", 9600, \"on\")) == \"request\"",
    ),
    (
        Function,
        "latest(request)",
        "of serial_write: it takes the place of what the port was sent before, as on a display; once it is out, what an older step still \
         waits to send there is given up",
        "type_of(serial_write(\"/dev/ttyUSB1\", 9600, \"on\").latest()) == \"request\"",
    ),
    (
        Function,
        "signed(request, secret)",
        "of http_post: the headers of the Standard Webhooks specification, over the body as it goes out",
        "type_of(http_post(\"https://hooks.example.org/a\", \"application/json\", \"{}\").signed(\"token\")) == \"request\"",
    ),
    (
        Function,
        "bearer(request, secret)",
        "of http_post: the header `authorization` with a token; refused in clear, but to this machine itself",
        "type_of(http_post(\"https://hooks.example.org/a\", \"application/json\", \"{}\").bearer(\"token\")) == \"request\"",
    ),
    (
        Function,
        "basic(request, user, secret)",
        "of http_post: the header `authorization` with user and password; refused in clear, as above",
        "type_of(http_post(\"https://hooks.example.org/a\", \"application/json\", \"{}\").basic(\"ann\", \"password\")) == \"request\"",
    ),
    (
        Function,
        "mail(server, from, to, subject, text)",
        "a mail to one address; the server is `smtp://HOST:PORT` (STARTTLS, and nothing without it), `smtps://…` (TLS from the first byte) or `smtp-clear://…`; needs `smtp:HOST:PORT`",
        "type_of(mail(\"smtp://mail.example.org:587\", \"box@example.org\", \"ann@example.org\", \"An alert\", \"Look at the page.\")) == \"request\"",
    ),
    (
        Function,
        "login(request, user, secret)",
        "of mail: user and password; refused in clear, but to this machine itself",
        "type_of(mail(\"smtp://mail.example.org:587\", \"box@example.org\", \"ann@example.org\", \"An alert\", \"Look at the page.\").login(\"box\", \"password\")) == \"request\"",
    ),
    (
        Function,
        "gpio_pulse(chip, line, spans)",
        "pulses: on, off, on … in milliseconds, at most 64 spans of 10 to 5000 and 15 s altogether; left out when the step is two minutes old; needs `gpio:CHIP/LINE`",
        "type_of(gpio_pulse(\"gpiochip0\", 17, [200, 100, 200])) == \"request\"",
    ),
    (
        Function,
        "active_low(request)",
        "of gpio_pulse: on is low",
        "type_of(gpio_pulse(\"gpiochip0\", 17, [200, 100, 200]).active_low()) == \"request\"",
    ),
    (
        Function,
        "lcd(bus, address, lines)",
        "up to 4 lines of 20 characters on an HD44780 behind a PCF8574, in place of what stands there; the address is a number or `\"0x27\"`; needs `lcd:BUS/ADDRESS`",
        "type_of(lcd(\"i2c-1\", \"0x27\", [\"high\", \"zebra\"])) == \"request\"",
    ),
    (
        Function,
        "json_text(x)",
        "a map or list as JSON, keys in order of their names; decimals keep their digits, floats are refused",
        "json_text(#{ b: event.value, a: [1] }) == `{\"a\":[1],\"b\":201}`",
    ),
];

/// The entries, section by section.
pub fn entries() -> Vec<Entry> {
    Entry::section("Outputs: the event", EVENT).chain(Entry::section("Outputs: to ask for", TO_ASK)).collect()
}
