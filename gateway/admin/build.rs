//! The web app is embedded from `gateway/web/dist`: build again when it changes, or appears.

fn main() {
    // The source folder is watched too, because a path that does not exist yet would make Cargo build us every time.
    let dist = std::path::Path::new("../web/dist");
    println!("cargo:rerun-if-changed={}", if dist.exists() { "../web/dist" } else { "../web" });
    println!("cargo:rerun-if-changed=build.rs");
}
