use super::*;

#[test]
fn a_disconnect_names_its_reason_in_mqtt_5_only_and_fits_the_client() {
    assert_eq!(goodbye(Version::V4, CloseReason::Revoked, usize::MAX), None);
    assert_eq!(goodbye(Version::V5, CloseReason::Finished, usize::MAX), None);
    let spoken = goodbye(Version::V5, CloseReason::Revoked, usize::MAX).unwrap();
    assert_eq!(spoken[..7], [0xe0, 25, 0x98, 23, 0x1f, 0, 20]);
    assert!(spoken.ends_with(b"access was withdrawn"));
    assert_eq!(goodbye(Version::V5, CloseReason::Revoked, 10).unwrap().as_ref(), [0xe0, 2, 0x98, 0]);
}

#[test]
fn a_refusal_keeps_its_text_short_and_whole() {
    let mut packet = BytesMut::new();
    refuse(&mut packet, Version::V5, PUBACK, 0x0102, RefusalCode::Quota, &"ä".repeat(100));
    assert_eq!(packet.len(), usize::from(packet[1]) + 2);
    assert_eq!(packet[2..6], [1, 2, 0x97, 103]);
    assert_eq!(std::str::from_utf8(&packet[9..]), Ok("ä".repeat(50).as_str()));
    packet.clear();
    refuse(&mut packet, Version::V5, PUBREC, 1, RefusalCode::Other, "");
    assert_eq!(packet.as_ref(), [0x50, 4, 0, 1, 0x83, 0]);
    packet.clear();
    refuse(&mut packet, Version::V4, PUBACK, 1, RefusalCode::Other, "no");
    assert_eq!(packet.as_ref(), [0x40, 2, 0, 1]);
}

#[test]
fn mqtt_3_hears_one_kind_of_refused_filter() {
    let codes = vec![SubscribeReasonCode::QoS1, SubscribeReasonCode::NotAuthorized, SubscribeReasonCode::QuotaExceeded];
    assert_eq!(suback(Version::V4, 7, codes.clone()).as_ref(), [0x90, 5, 0, 7, 1, 0x80, 0x80]);
    assert_eq!(suback(Version::V5, 7, codes).as_ref(), [0x90, 6, 0, 7, 0, 1, 0x87, 0x97]);
}

#[test]
fn lengths_take_the_bytes_the_specification_gives_them() {
    for (length, bytes) in
        [(0, 1), (127, 1), (128, 2), (16_383, 2), (16_384, 3), (2_097_151, 3), (2_097_152, 4), (268_435_455, 4)]
    {
        let mut buffer = BytesMut::new();
        put_length(&mut buffer, length);
        assert_eq!((buffer.len(), length_len(length)), (bytes, bytes), "{length}");
    }
}
