//! A plugin as files: `plugin.toml`, its script, `cases.txt`. Read by the parent; workers have no files.

use std::io::read_to_string;
use std::path::{Path, PathBuf};

use pitchside_script::cases::{parse_output_cases, parse_plugin_cases};
use pitchside_script::files;
use pitchside_script::manifest::{Chosen, Constant, PluginKind, PluginManifest};
use pitchside_script::output::Output;
use pitchside_script::problem::Problem;

use super::engine::Decoder;

/// The most bytes of any file of a plugin.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// What is said of a derived stream where only decoders and outputs are known.
pub(super) const NO_DECODER: &str = "a derived stream is checked and run by the rules";

/// A plugin, read and checked, but not compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder {
    /// Its manifest.
    pub manifest: PluginManifest,
    /// `plugin.toml`, as it is written.
    pub manifest_text: String,
    /// Its script.
    pub source: String,
    /// `cases.txt`.
    pub cases: String,
    /// What an admin chose of its params and texts; nothing, as it comes from files.
    pub chosen: Chosen,
}

/// Why a folder is no plugin.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// A file is missing or can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is too large.
    #[error("{0} is larger than 1 MiB")]
    TooLarge(PathBuf),
    /// The manifest is faulty.
    #[error("{}", lines(.0))]
    Manifest(Vec<Problem>),
    /// The manifest names what only the gateway itself records.
    #[error("{path}: outputs: {quantity} is the gateway's own record, no device may send it: take it out")]
    GatewaysOwn {
        /// The manifest.
        path: PathBuf,
        /// What it names.
        quantity: &'static str,
    },
    /// Folder and manifest disagree about the name.
    #[error("the folder is called {folder}, its manifest says {manifest}: they must agree")]
    Name {
        /// The folder's.
        folder: String,
        /// The manifest's.
        manifest: String,
    },
}

fn lines(problems: &[Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

impl Folder {
    /// Reads one plugin.
    pub fn read(dir: &Path) -> Result<Self, FolderError> {
        let file = |name: &str| text(&dir.join(name));
        let manifest_text = file("plugin.toml")?;
        let manifest = checked_manifest(&dir.join("plugin.toml"), &manifest_text)?;
        let folder = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if folder != manifest.name.as_str() {
            return Err(FolderError::Name { folder, manifest: manifest.name.to_string() });
        }
        let (source, cases) = (file(manifest.kind.script_file())?, file("cases.txt")?);
        Ok(Self { manifest, manifest_text, source, cases, chosen: Chosen::new() })
    }

    /// A plugin whose files are at hand, wherever they came from.
    pub fn of_texts(manifest: &str, source: String, cases: String) -> Result<Self, FolderError> {
        let manifest_text = manifest.to_owned();
        let manifest = checked_manifest(Path::new("plugin.toml"), manifest)?;
        Ok(Self { manifest, manifest_text, source, cases, chosen: Chosen::new() })
    }

    /// Reads every plugin below `dir`, in order of their names. One faulty plugin does not keep the others out.
    pub fn read_all(dir: &Path) -> Result<Vec<Result<Self, FolderError>>, FolderError> {
        Ok(Self::read_each(dir)?.into_iter().map(|(_, folder)| folder).collect())
    }

    /// As [`Folder::read_all`], each with the name of its folder.
    pub fn read_each(dir: &Path) -> Result<Vec<(String, Result<Self, FolderError>)>, FolderError> {
        let failed = |source| FolderError::Read { path: dir.to_owned(), source };
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.join("plugin.toml").is_file() {
                folders.push(path);
            }
        }
        folders.sort();
        let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(folders.iter().map(|path| (name(path), Self::read(path))).collect())
    }

    /// What is wrong with script and cases of a decoder or output, a line each; nothing is run. Of a derived stream the room of
    /// rules knows.
    pub fn problems(&self) -> Vec<String> {
        let (file, source) = (self.manifest.kind.script_file(), &self.source);
        let (script, cases) = match self.manifest.kind {
            PluginKind::Decoder => (
                Decoder::load(file, source, &self.params(), &self.manifest.state).err(),
                parse_plugin_cases("cases.txt", &self.cases).err(),
            ),
            PluginKind::Output => (
                Output::load(file, source, &self.constants()).err(),
                parse_output_cases("cases.txt", &self.cases).err(),
            ),
            PluginKind::Derived => (Some(vec![NO_DECODER.to_owned()]), None),
        };
        let (script, cases) = (script.unwrap_or_default(), cases.unwrap_or_default());
        script.into_iter().chain(cases.iter().map(ToString::to_string)).collect()
    }

    /// The numbers of its script: as chosen, else as the manifest has them.
    pub fn params(&self) -> Vec<(String, f64)> {
        self.manifest.numbers(&self.chosen)
    }

    /// The constants of its script: numbers and texts.
    pub fn constants(&self) -> Vec<(String, Constant)> {
        self.manifest.constants(&self.chosen)
    }
}

fn checked_manifest(path: &Path, text: &str) -> Result<PluginManifest, FolderError> {
    let manifest = PluginManifest::parse("plugin.toml", text).map_err(FolderError::Manifest)?;
    match manifest.outputs.iter().find(|quantity| quantity.is_gateways_own()) {
        Some(own) => Err(FolderError::GatewaysOwn { path: path.to_owned(), quantity: own.name() }),
        None => Ok(manifest),
    }
}

fn text(path: &Path) -> Result<String, FolderError> {
    let failed = |source| FolderError::Read { path: path.to_owned(), source };
    let file = files::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(FolderError::TooLarge(path.to_owned()));
    }
    read_to_string(file).map_err(failed)
}
