//! Topic names and topic filters (MQTT 3.1.1 and 5, section 4.7).

use std::str;

use crate::link::CloseReason;

/// The longest topic name or filter, in bytes.
pub(crate) const TOPIC_BYTES_MAX: usize = 512;

/// How the filter of a shared subscription begins (MQTT 5, 4.8.2).
pub(crate) const SHARED: &str = "$share/";

/// Checks a topic name: UTF-8, not empty, no zero character, no wildcard.
pub(crate) fn topic_name(bytes: &[u8]) -> Result<&str, CloseReason> {
    let topic = str::from_utf8(bytes).map_err(|_| CloseReason::Malformed("a topic that is not UTF-8"))?;
    if topic.is_empty() {
        // Without a topic alias, that is; none is offered (MQTT 5, 3.3.2.1).
        return Err(CloseReason::Protocol("an empty topic"));
    }
    if topic.contains(['+', '#']) {
        return Err(CloseReason::TopicInvalid("a wildcard in a topic that is published to"));
    }
    if topic.contains('\0') {
        return Err(CloseReason::Malformed("a zero character in a topic"));
    }
    if topic.len() > TOPIC_BYTES_MAX {
        return Err(CloseReason::TopicInvalid("a topic of more than 512 bytes"));
    }
    Ok(topic)
}

/// Whether `filter` is a well-formed topic filter.
pub fn is_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > TOPIC_BYTES_MAX || filter.contains('\0') {
        return false;
    }
    let last = filter.split('/').count() - 1;
    filter.split('/').enumerate().all(|(at, level)| match level {
        "#" => at == last,
        "+" => true,
        _ => !level.contains(['+', '#']),
    })
}

/// Whether `filter` matches `topic`. Wildcards at the first level leave out topics that begin with `$`.
pub(crate) fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topics = topic.split('/');
    for level in filter.split('/') {
        match (level, topics.next()) {
            ("#", _) => return true,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    topics.next().is_none()
}

/// Whether every topic that `filter` matches is matched by `grant` too. Both must be well formed. Nothing covers a
/// shared subscription: there are none.
pub(crate) fn covers(grant: &str, filter: &str) -> bool {
    if filter.starts_with(SHARED) {
        return false;
    }
    let mut filters = filter.split('/');
    for level in grant.split('/') {
        match (level, filters.next()) {
            ("#", _) => return true,
            (_, Some("#")) | (_, None) => return false,
            ("+", Some(_)) => {}
            (level, Some(asked)) if level == asked => {}
            _ => return false,
        }
    }
    filters.next().is_none()
}

/// The first level of a topic or filter.
pub(crate) fn root(topic: &str) -> &str {
    topic.split('/').next().unwrap_or(topic)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_and_filters_are_told_from_nonsense() {
        for bad in ["", "a/+", "#", "a/#", "a\0"] {
            assert!(topic_name(bad.as_bytes()).is_err(), "{bad:?}");
        }
        assert!(topic_name(&[0xff, 0xfe]).is_err());
        for good in ["#", "+", "a/+/b", "a/#", "/", "a//b", "ä/+"] {
            assert!(is_filter(good), "{good:?}");
        }
        for bad in ["", "a#", "#/a", "a/+b", "a/b+/c", "++", "a\0"] {
            assert!(!is_filter(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_grant_covers_only_what_lies_below_it() {
        for (grant, filter) in
            [("alerts/#", "alerts/#"), ("alerts/#", "alerts"), ("alerts/#", "alerts/+/x"), ("#", "a/+"), ("a/+", "a/+")]
        {
            assert!(covers(grant, filter), "{grant} {filter}");
        }
        for (grant, filter) in
            [("alerts/#", "#"), ("alerts/#", "+/x"), ("alerts/#", "live/x"), ("a/+", "a/#"), ("a/+", "a"), ("a", "a/b")]
        {
            assert!(!covers(grant, filter), "{grant} {filter}");
        }
        for (grant, filter) in [("#", "$share/g/alerts/#"), ("$share/#", "$share/g/alerts/#")] {
            assert!(!covers(grant, filter), "{grant} {filter}");
        }
    }

    fn level() -> impl Strategy<Value = String> {
        prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just(String::new()), Just("+".to_owned())]
    }

    fn filter() -> impl Strategy<Value = String> {
        (prop::collection::vec(level(), 1..4), any::<bool>()).prop_map(|(mut levels, all)| {
            if all {
                levels.push("#".to_owned());
            }
            levels.join("/")
        })
    }

    fn topic() -> impl Strategy<Value = String> {
        prop::collection::vec(prop_oneof!["a", "b", "", "c"], 1..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #[test]
        fn a_covered_filter_matches_nothing_the_grant_does_not(grant in filter(), asked in filter(), topic in topic()) {
            prop_assume!(!topic.is_empty());
            if is_filter(&asked) && covers(&grant, &asked) && matches(&asked, &topic) {
                prop_assert!(matches(&grant, &topic));
            }
        }

        #[test]
        fn matching_agrees_with_rumqttd(filter in filter(), topic in topic()) {
            prop_assume!(is_filter(&filter) && !topic.is_empty());
            prop_assert_eq!(matches(&filter, &topic), rumqttd::protocol::matches(&topic, &filter));
        }
    }
}
