//! A release from its signers to a clinic's shelf, with the programs people use.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ledger_block::release::{SecurityCounter, Target, Version};
use ledgerd::Enrolment;
use pitchside_release::content::ContentId;
use pitchside_release::policy::{Refused, Thing};
use pitchside_tests::clinic::{Made, copy};
use pitchside_tests::maker::policy;
use pitchside_tests::program::{Answer, program, run};
use pitchside_tests::{Clinic, Running, until};

/// Two signers and a publisher, in a folder of their own.
struct Maker {
    dir: PathBuf,
}

impl Maker {
    fn new(dir: &Path) -> Self {
        let maker = Self { dir: dir.to_owned() };
        for name in ["ada", "ben"] {
            maker.run(&["firmware", "key", "new", "--out", &maker.at(&format!("{name}.key"))]).ok();
        }
        let (policy, ada, ben) = (maker.at("first.policy"), maker.at("ada.key.pub"), maker.at("ben.key.pub"));
        maker
            .run(&["firmware", "policy", "new", "--threshold", "2", "--key", &ada, "--key", &ben, "--out", &policy])
            .ok();
        maker.signed("policy sign", &policy);
        maker
    }

    fn at(&self, name: &str) -> String {
        self.dir.join(name).to_str().unwrap().to_owned()
    }

    fn run(&self, args: &[&str]) -> Answer {
        run(&program("pitchside"), args)
    }

    fn signed(&self, what: &str, file: &str) {
        for name in ["ada.key", "ben.key"] {
            let key = self.at(name);
            let args = ["firmware"].into_iter().chain(what.split(' ')).chain([file, "--key", &key]);
            self.run(&args.collect::<Vec<_>>()).ok();
        }
    }

    /// A publisher's place, known to the ledger.
    fn publisher(&self, made: &mut Made) {
        let ledger = made.ledger.as_ref().unwrap();
        let (dir, policy, first) = (self.at("maker"), ledger.policy(), self.at("first.policy"));
        let (address, policy) = (ledger.ingest.to_string(), policy.to_str().unwrap().to_owned());
        let args = ["firmware", "init", "--dir", &dir, "--name", "maker", "--ledger", &address, "--ledger-key"];
        let more = [ledger.channel.as_str(), "--ledger-policy", &policy, "--release-policy", &first];
        self.run(&[&args[..], &more[..]].concat()).ok();
        let enrolment = Enrolment::read(&self.dir.join("maker/keys/ledger-enrolment.toml")).unwrap();
        ledgerd::enrol_publisher(ledger.dir(), &enrolment).unwrap();
        ledgerd::firmware::release_policy(ledger.dir(), Path::new(&first)).unwrap();
    }

    /// A signed release of these bytes for straps; gives its name.
    fn release(&self, version: &str, counter: &str, bytes: &[u8]) -> String {
        self.release_of(["sensor", "strap-firmware", "strap-r2"], version, counter, bytes)
    }

    /// A signed release of these bytes for some target, component and hardware; gives its name.
    fn release_of(
        &self,
        [target, component, hardware]: [&str; 3],
        version: &str,
        counter: &str,
        bytes: &[u8],
    ) -> String {
        let (content, file) = (self.at(&format!("{version}.bin")), self.at(&format!("{version}.release")));
        std::fs::write(&content, bytes).unwrap();
        let args = ["--json", "firmware", "draft", &content, "--target", target, "--component", component];
        let more = ["--hardware", hardware, "--release-version", version, "--counter", counter];
        let said = self.run(&[&args[..], &more[..], &["--expires", "2036-06-30", "--out", &file]].concat()).ok().json();
        self.signed("sign", &file);
        said["release"].as_str().unwrap().to_owned()
    }

    fn publish(&self, version: &str) -> Answer {
        let (content, file) = (self.at(&format!("{version}.bin")), self.at(&format!("{version}.release")));
        self.at_desk(&["publish", &file, "--content", &content])
    }

    fn at_desk(&self, args: &[&str]) -> Answer {
        let config = self.at("maker/pitchside.toml");
        self.run(&[&["firmware"][..], args, &["--config", &config]].concat())
    }

    fn roll_out(&self, release: &str, hardware: &str) {
        for step in ["1", "10", "100"] {
            self.at_desk(&["rollout", release, "--hardware", hardware, "--to", step]).ok();
        }
    }
}

async fn clinic() -> (Maker, Running) {
    let clinic = Clinic::new().ledger();
    let maker = Maker::new(clinic.dir());
    let first = maker.dir.join("first.policy");
    let mut made = clinic.with(move |settings| settings.firmware.release_policy = Some(first)).make().await;
    let ledger = made.ledger.as_mut().unwrap();
    made.settings.firmware.ledger_store = Some(ledger.http.to_string());
    made.settings.firmware.ledger_store_wait_s_max = 0;
    made.settings.firmware.ask_s = 1;
    ledger.off().await;
    maker.publisher(&mut made);
    made.ledger.as_mut().unwrap().on().await;
    (maker, Running::start_new(made).await)
}

fn strap(version: u32, counter: u32) -> Thing {
    Thing {
        name: "s7".to_owned(),
        target: Target::Sensor,
        component: "strap-firmware".parse().unwrap(),
        hardware: "strap-r2".parse().unwrap(),
        installed: Some(Version::new(1, version, 0)),
        counter: SecurityCounter(counter),
    }
}

/// What doctor finds under such a name: its evidence and its mend, if it is not well.
fn sick(clinic: &Running, what: &str) -> Option<(String, String)> {
    let findings = clinic.pitchside(&["--json", "doctor"]).json();
    let found = findings.as_array().unwrap().iter().find(|finding| finding["what"] == what)?.clone();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (found["ok"] == false).then(|| (text("evidence"), text("mend")))
}

/// Doctor has found nothing wrong with what is known of releases.
fn is_well(clinic: &Running) -> Option<()> {
    let findings = clinic.pitchside(&["--json", "doctor"]).json();
    let mut findings = findings.as_array().unwrap().iter();
    findings.any(|finding| finding["what"] == "firmware releases" && finding["ok"] == true).then_some(())
}

fn bytes(size: usize, salt: u8) -> Vec<u8> {
    (0..size).map(|at| (at % 241) as u8 ^ salt).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_release_reaches_the_shelf_of_a_clinic_that_has_the_hardware_and_a_halt_takes_it_away() {
    let (maker, mut clinic) = clinic().await;
    let shelf = Arc::clone(clinic.shelf());
    let image = bytes(300_000, 1);
    let release = maker.release("1.4.0", "3", &image);
    let content = ContentId(*blake3::hash(&image).as_bytes());
    assert!(maker.publish("1.4.0").ok().out.contains("in the ledger's store"));
    assert_eq!(maker.publish("1.4.0").ok().code, 0, "again: its content is there");
    maker.roll_out(&release, "strap-r2");
    shelf.seen(&strap(2, 0));
    until("the content is here", || shelf.is_whole(content).then_some(())).await;
    let offer = until("the rollout is known", || shelf.choose(&strap(2, 0)).ok().flatten()).await;
    assert_eq!((offer.id.to_string(), offer.whole), (release.clone(), true));
    let read = tokio::task::block_in_place(|| shelf.read(content, 99_000, 5_000)).unwrap();
    assert_eq!(read, &image[99_000..104_000]);
    assert!(matches!(shelf.accept(&offer.id, &strap(2, 4)), Err(Refused::LowerCounter { .. })));
    assert!(matches!(shelf.accept(&offer.id, &strap(4, 0)), Err(Refused::NotNewer { .. })));
    let status = clinic.pitchside(&["firmware", "status"]).ok().out;
    assert!(status.contains("100%") && status.contains("out"), "{status}");

    maker.at_desk(&["abort", &release]).ok();
    until("the halt is heard", || {
        matches!(shelf.accept(&offer.id, &strap(2, 0)), Err(Refused::Halted(_))).then_some(())
    })
    .await;
    // A ledger unheard for more than a week may have kept a halt back: nothing is installed.
    clinic.ledger().off().await;
    clinic.advance(8 * 86_400);
    assert!(matches!(shelf.choose(&strap(2, 0)), Err(Refused::StaleCheckpoint { .. })));
    drop(shelf);
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sensor_that_says_it_is_everything_keeps_no_other_from_its_firmware() {
    let (maker, mut clinic) = clinic().await;
    let shelf = Arc::clone(clinic.shelf());
    for n in 0..70 {
        shelf.seen(&Thing { name: "liar".to_owned(), hardware: format!("h{n}").parse().unwrap(), ..strap(2, 0) });
    }
    let image = bytes(50_000, 5);
    let release = maker.release("1.4.0", "3", &image);
    maker.publish("1.4.0").ok();
    maker.roll_out(&release, "strap-r2");
    shelf.seen(&strap(2, 0));
    let content = ContentId(*blake3::hash(&image).as_bytes());
    until("the content for hardware that is new here", || shelf.is_whole(content).then_some(())).await;
    drop(shelf);
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_says_why_firmware_is_off_or_believes_nobody() {
    let (maker, mut clinic) = clinic().await;
    until("all is well", || is_well(&clinic)).await;
    // Its contents cannot be opened.
    clinic.stop().await;
    let contents = clinic.dir().join("data/content");
    std::fs::remove_dir_all(&contents).unwrap();
    std::fs::write(&contents, "no folder").unwrap();
    clinic.start().await;
    let (evidence, _) = sick(&clinic, "firmware contents").unwrap();
    assert!(evidence.starts_with("firmware is off"), "{evidence}");
    clinic.stop().await;
    std::fs::remove_file(&contents).unwrap();
    clinic.start().await;
    until("all is well again", || is_well(&clinic)).await;
    // The settings name other keys than the log.
    clinic.stop().await;
    std::fs::write(maker.at("first.policy"), policy().to_bytes()).unwrap();
    clinic.start().await;
    let found = || sick(&clinic, "release policy");
    let (evidence, mend) = until("doctor to say so", found).await;
    assert!(evidence.contains("these are somebody else's keys"), "{evidence}");
    assert!(mend.contains("firmware.release_policy"), "{mend}");
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_box_whose_page_has_the_place_of_firmware_for_other_boxes_runs_and_the_doctor_says_so() {
    // Free a moment ago.
    let place = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let clinic = Clinic::new().strap("s7").ledger();
    let first = Maker::new(clinic.dir()).dir.join("first.policy");
    let clinic = clinic.with(move |settings| {
        settings.firmware.release_policy = Some(first);
        settings.firmware.listen = Some(place);
        settings.http.address = place;
    });
    let mut clinic = clinic.start().await;
    clinic.sensor("s7").await.heart_rate(72).await;
    let (evidence, _) = sick(&clinic, "firmware for other boxes").unwrap();
    assert!(evidence.contains(&format!("{place} is where http.address listens, too")), "{evidence}");
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_log_is_believed_by_neither_the_box_nor_its_publisher_and_the_doctor_says_whose_it_is_to_mend() {
    let (maker, mut clinic) = clinic().await;
    let shelf = Arc::clone(clinic.shelf());
    clinic.ledger().off().await;
    let (ledger, before) = (clinic.ledger().dir().to_owned(), maker.dir.join("ledger-before"));
    copy(&ledger, &before);
    clinic.ledger().on().await;
    maker.release("1.4.0", "3", &bytes(50_000, 6));
    maker.publish("1.4.0").ok();
    until("the clinic knows it", || (!shelf.known().releases().is_empty()).then_some(())).await;
    maker.at_desk(&["status"]).ok();
    clinic.pitchside(&["firmware", "status"]).ok();
    clinic.ledger().off().await;
    std::fs::remove_dir_all(&ledger).unwrap();
    std::fs::rename(&before, &ledger).unwrap();
    clinic.ledger().on().await;
    for said in [maker.at_desk(&["status"]), clinic.pitchside(&["firmware", "status"])] {
        assert_eq!(said.code, 3, "{said:?}");
        assert!(said.err.contains("rolled back"), "{said:?}");
    }
    // The box calls again and again, each time later: a greeting of the same moment would be one that is repeated.
    let doubted = || {
        clinic.advance(1);
        sick(&clinic, "ledger that is not believed")
    };
    let (evidence, mend) = until("doctor to doubt the ledger", doubted).await;
    assert!(evidence.contains("the ledger was rolled back") && !evidence.contains("offline"), "{evidence}");
    assert!(mend.contains("change nothing here"), "{mend}");
    let (evidence, mend) = until("doctor to doubt the releases", || sick(&clinic, "firmware log")).await;
    assert!(evidence.contains("somebody shows an old log"), "{evidence}");
    assert!(mend.contains("tell the ledger's operator"), "{mend}");
    drop(shelf);
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_fetched_for_hardware_the_clinic_does_not_have_or_before_a_rollout() {
    let (maker, mut clinic) = clinic().await;
    let shelf = Arc::clone(clinic.shelf());
    let image = bytes(50_000, 2);
    let release = maker.release("1.0.0", "1", &image);
    maker.publish("1.0.0").ok();
    until("the release is known", || (!shelf.known().releases().is_empty()).then_some(())).await;
    assert_eq!(shelf.releases_for(&"strap-r2".parse().unwrap()).unwrap().len(), 0, "not rolled out");
    maker.at_desk(&["rollout", &release, "--hardware", "strap-r2", "--to", "1"]).ok();
    until("it is rolled out", || (shelf.releases_for(&"strap-r2".parse().unwrap()).unwrap().len() == 1).then_some(()))
        .await;
    assert_eq!(shelf.contents().list(), [], "no strap here");
    assert!(matches!(shelf.choose(&Thing { hardware: "strap-r9".parse().unwrap(), ..strap(0, 0) }), Ok(None)));
    drop(shelf);
    clinic.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_box_asks_for_its_own_update_once_and_leaves_one_alone_that_did_not_come_up() {
    let (maker, mut clinic) = clinic().await;
    clinic.stop().await;
    let image = clinic.dir().join("image.toml");
    let says = |version: &str| {
        let text = format!("hardware = \"box-amd64\"\nversion = \"{version}\"\ncounter = 2\n");
        std::fs::write(&image, text).unwrap();
    };
    says("1.0.0");
    clinic.settings().firmware.box_image = image.clone();
    clinic.start().await;
    let (request, laid_out) = (clinic.dir().join("data/update/request"), clinic.dir().join("data/update/bundle.raucb"));
    let of_the_box = ["box", "box", "box-amd64"];
    let bundle = bytes(200_000, 3);
    let release = maker.release_of(of_the_box, "1.1.0", "2", &bundle);
    maker.publish("1.1.0").ok();
    maker.roll_out(&release, "box-amd64");
    let asked = until("the box asks for its update", || std::fs::read_to_string(&request).ok()).await;
    assert!(asked.starts_with(&format!("release {release}\nversion 1.1.0\nsize 200000\nsha256 ")), "{asked}");
    assert_eq!(std::fs::read(&laid_out).unwrap(), bundle);

    let taken = clinic.dir().join("data/update/taken");
    std::fs::rename(&request, &taken).unwrap();
    // It refused: the box says why, and keeps its image.
    std::fs::write(clinic.dir().join("data/update/result"), "refused: signature verification failed\n").unwrap();
    std::fs::remove_file(&taken).unwrap();
    until("the box sees that", || (!laid_out.exists()).then_some(())).await;
    let said = clinic.pitchside(&["doctor"]).out;
    assert!(said.contains("was not installed: signature verification failed"), "{said}");

    // The next release is asked for, not this one again; and it comes up.
    let mended = bytes(210_000, 4);
    let release = maker.release_of(of_the_box, "1.2.0", "3", &mended);
    maker.publish("1.2.0").ok();
    maker.roll_out(&release, "box-amd64");
    let asked = until("the box asks again", || std::fs::read_to_string(&request).ok()).await;
    assert!(asked.contains("version 1.2.0"), "{asked}");
    clinic.stop().await;
    std::fs::remove_file(&request).unwrap();
    says("1.2.0");
    clinic.start().await;
    until("the box sees that it runs the update", || (!laid_out.exists()).then_some(())).await;
    let answer = clinic.pitchside(&["firmware", "status"]).ok();
    assert!(answer.out.contains("1.2.0"), "{answer:?}");
    clinic.stop().await;
}
