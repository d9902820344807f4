use proptest::prelude::*;

use super::*;

const MANIFEST_TEXT: &str =
    "name = \"acme\"\nversion = \"1.2.3\"\nsummary = \"A test.\"\nkind = \"decoder\"\noutputs = [\"heart_rate\"]\n";

fn files() -> PackageFiles {
    PackageFiles {
        manifest: MANIFEST_TEXT.to_owned(),
        script: "[reading(\"heart_rate\", payload.u8(0), \"/min\")]\n".to_owned(),
        cases: "case one\n  48 -> heart_rate 72 /min\n".to_owned(),
        readme: "# acme\n".to_owned(),
    }
}

fn tar_refuses(archive: &[u8]) -> TarError {
    match Package::open(archive).unwrap_err() {
        PackageError::Tar(error) => error,
        other => panic!("{other}"),
    }
}

/// Changes a header and makes its sum right again.
fn forged(change: impl FnOnce(&mut [u8])) -> Vec<u8> {
    let mut archive = pack(&files()).unwrap();
    change(&mut archive[..512]);
    archive[148..156].copy_from_slice(b"        ");
    let sum: u32 = archive[..512].iter().map(|b| u32::from(*b)).sum();
    archive[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive
}

#[test]
fn the_same_files_give_the_same_bytes_and_read_back() {
    let archive = pack(&files()).unwrap();
    assert_eq!(archive, pack(&files()).unwrap());
    let package = Package::open(&archive).unwrap();
    assert_eq!((package.files, package.manifest.name.as_str()), (files(), "acme"));
    assert_eq!(package.digest, Digest::of(&archive));
    assert_eq!(Digest::parse(&package.digest.to_string()), Some(package.digest));
    assert_eq!(Digest::parse(&package.digest.to_string().to_uppercase()), None);
}

#[test]
fn a_version_has_one_spelling() {
    for version in ["01.2.3", "1.02.3", "1.2.00"] {
        let manifest = MANIFEST_TEXT.replace("1.2.3", version);
        assert_eq!(pack(&PackageFiles { manifest, ..files() }), Err(PackageError::Version(version.to_owned())));
    }
    let manifest = MANIFEST_TEXT.replace("1.2.3", "0.10.0");
    assert!(pack(&PackageFiles { manifest, ..files() }).is_ok());
}

#[test]
fn why_it_is_no_package_is_said_once() {
    let refused = Package::open(b"no package").unwrap_err();
    assert_eq!(refused.to_string(), "the package is not what `pitchside plugin pack` makes: it is cut short");
    assert!(std::error::Error::source(&refused).is_none(), "whoever tells the whole chain would say it twice");
}

#[test]
fn its_bytes_never_change_while_its_files_do_not() {
    // Pinned: signatures are over this name. `sha256sum` and any tar say the same.
    let digest = Digest::of(&pack(&files()).unwrap()).to_string();
    assert_eq!(digest, "861bfe55384ce11d40c0a7e7b2ce4f28a2b8ed495409c20ac4baacf89556bba6");
}

#[test]
fn every_changed_byte_is_refused() {
    let archive = pack(&files()).unwrap();
    let whole = Package::open(&archive).unwrap();
    for at in 0..archive.len() {
        let mut tampered = archive.clone();
        tampered[at] ^= 1;
        // Inside a file's content it is another package, with another name; anywhere else it is none.
        if let Ok(other) = Package::open(&tampered) {
            assert_ne!(other.digest, whole.digest, "byte {at}");
            assert_ne!(other.files, whole.files, "byte {at}");
        }
    }
}

#[test]
fn links_paths_devices_and_strangers_are_refused() {
    assert_eq!(tar_refuses(&forged(|h| h[156] = b'2')), TarError::NotAFile("README.md".to_owned()));
    assert_eq!(tar_refuses(&forged(|h| h[156] = b'5')), TarError::NotAFile("README.md".to_owned()));
    for path in ["../../x", "/etc/passw", "a/README.m", ".hidden", "..", "x\u{7}"] {
        let forged = forged(|h| {
            h[..100].fill(0);
            h[..path.len()].copy_from_slice(path.as_bytes());
        });
        assert_eq!(tar_refuses(&forged), TarError::Name(path.to_owned()));
    }
    // Mode and owner say nothing here, so they may say nothing.
    assert!(matches!(tar_refuses(&forged(|h| h[104] = b'7')), TarError::Spelling(104)));
    assert!(matches!(tar_refuses(&forged(|h| h[265] = b'r')), TarError::Spelling(_)));
    let twice = tar::write(&[("a", b"1"), ("a", b"2")]);
    assert_eq!(twice.unwrap_err(), TarError::Order("a".to_owned()));
    let strange = tar::write(&[("plugin.toml", MANIFEST_TEXT.as_bytes()), ("run.sh", b"")]).unwrap();
    let refused = Package::open(&strange).unwrap_err().to_string();
    assert_eq!(
        refused,
        "a package of a decoder holds README.md, cases.txt, decode.rhai, plugin.toml; this one holds plugin.toml, run.sh"
    );
}

#[test]
fn a_cut_or_longer_archive_is_refused() {
    let archive = pack(&files()).unwrap();
    for length in (0..archive.len()).step_by(97) {
        assert!(Package::open(&archive[..length]).is_err(), "{length} bytes");
    }
    let longer = [archive.as_slice(), &[0; 512]].concat();
    assert_eq!(tar_refuses(&longer), TarError::Spelling(archive.len()));
    assert!(matches!(Package::open(&vec![0; PACKAGE_BYTES_MAX + 1]), Err(PackageError::TooLong(_))));
    let large = PackageFiles { readme: "x".repeat(tar::FILE_BYTES_MAX + 1), ..files() };
    assert_eq!(pack(&large).unwrap_err(), PackageError::Tar(TarError::TooLarge("README.md".to_owned())));
}

#[test]
fn what_is_no_text_is_refused() {
    let archive = tar::write(&[
        ("README.md", b"\xff"),
        ("cases.txt", b""),
        ("decode.rhai", b""),
        ("plugin.toml", MANIFEST_TEXT.as_bytes()),
    ]);
    assert_eq!(Package::open(&archive.unwrap()).unwrap_err(), PackageError::NotText("README.md".to_owned()));
}

proptest! {
    #[test]
    fn whatever_is_packed_reads_back(script in "\\PC{0,600}", cases in "\\PC{0,600}", readme in "\\PC{0,1200}") {
        let files = PackageFiles { manifest: MANIFEST_TEXT.to_owned(), script, cases, readme };
        let archive = pack(&files).unwrap();
        prop_assert_eq!(archive.len() % 512, 0);
        prop_assert_eq!(Package::open(&archive).unwrap().files, files);
    }

    #[test]
    fn no_bytes_make_it_fall_over(bytes in proptest::collection::vec(any::<u8>(), 0..4_096)) {
        if let Ok(files) = tar::read(&bytes) {
            prop_assert_eq!(tar::write(&files).unwrap(), bytes);
        }
    }
}
