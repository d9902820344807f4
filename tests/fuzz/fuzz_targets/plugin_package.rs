//! A plugin's package: whatever is read is what packing its files gives, byte for byte.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pitchside_script::package::{Package, pack, tar};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(files) = tar::read(bytes) {
        assert_eq!(tar::write(&files).as_deref(), Ok(bytes));
    }
    if let Ok(package) = Package::open(bytes) {
        assert_eq!(pack(&package.files).as_deref(), Ok(bytes));
    }
});
