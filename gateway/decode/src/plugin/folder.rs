//! A plugin as files: `plugin.toml`, `decode.rhai`, `cases.txt`. Read by the parent; workers have no files.

use std::path::{Path, PathBuf};

use pitchside_script::manifest::PluginManifest;
use pitchside_script::problem::Problem;

/// The most bytes of any file of a plugin.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// A plugin, read and checked, but not compiled.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder {
    /// Its manifest.
    pub manifest: PluginManifest,
    /// `decode.rhai`.
    pub source: String,
    /// `cases.txt`.
    pub cases: String,
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
        let manifest =
            PluginManifest::parse("plugin.toml", &text(&dir.join("plugin.toml"))?).map_err(FolderError::Manifest)?;
        let folder = dir.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if folder != manifest.name.as_str() {
            return Err(FolderError::Name { folder, manifest: manifest.name.to_string() });
        }
        if let Some(own) = manifest.outputs.iter().find(|quantity| quantity.is_gateways_own()) {
            return Err(FolderError::GatewaysOwn { path: dir.join("plugin.toml"), quantity: own.name() });
        }
        Ok(Self { manifest, source: text(&dir.join("decode.rhai"))?, cases: text(&dir.join("cases.txt"))? })
    }

    /// Reads every plugin below `dir`, by name. One faulty plugin does not keep the others out.
    pub fn read_all(dir: &Path) -> Result<Vec<Result<Self, FolderError>>, FolderError> {
        let failed = |source| FolderError::Read { path: dir.to_owned(), source };
        let mut folders = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.join("plugin.toml").is_file() {
                folders.push(path);
            }
        }
        folders.sort();
        Ok(folders.iter().map(|path| Self::read(path)).collect())
    }

    /// The params as the manifest sets them.
    pub fn params(&self) -> Vec<(String, f64)> {
        self.manifest.params.iter().map(|(name, param)| (name.clone(), param.default)).collect()
    }
}

fn text(path: &Path) -> Result<String, FolderError> {
    let failed = |source| FolderError::Read { path: path.to_owned(), source };
    if std::fs::metadata(path).map_err(failed)?.len() > FILE_BYTES_MAX {
        return Err(FolderError::TooLarge(path.to_owned()));
    }
    std::fs::read_to_string(path).map_err(failed)
}
