//! What the cases of the library's plugins cannot say: what comes of their params.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::path::Path;

use pitchside_decode::plugin::{Folder, cases};

#[test]
fn a_strap_that_counts_in_other_parts_of_a_second_is_read_by_what_is_set() {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../plugins");
    let strap = Folder::read(&library.join("heart-strap-quirks")).unwrap();
    for (rr_per_second, bytes, decimals) in
        [("1000", "e8 03 f4 01", ""), ("1010", "f2 03 f9 01", ".0000000"), ("1024", "00 04 00 02", ".0000000")]
    {
        let mut folder = strap.clone();
        folder.chosen.insert("rr_per_second".to_owned(), rr_per_second.to_owned());
        folder.cases = format!(
            "case a second and a half of one\n  10 48 {bytes} -> heart_rate 72 /min, \
             -500ms rr_interval 1000{decimals} ms, rr_interval 500{decimals} ms\n"
        );
        let report = cases::run(&folder).unwrap();
        assert_eq!((report.cases.len(), report.failed()), (1, 0), "{rr_per_second}: {report:?}");
    }
}
