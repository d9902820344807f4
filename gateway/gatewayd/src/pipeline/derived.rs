//! The streams that plugins derive, looked at while the gateway runs: for the rules in force, and for those in the shadow.

use std::path::{Path, PathBuf};

use pitchside_store::Store;

use super::plugins::Seen;
use crate::blocking;
use crate::plugins::streams::Streams;

/// Looks at library and database, and knows what was there last.
pub struct DerivedWatch {
    library: Option<PathBuf>,
    store: Store,
    seen: Option<Seen>,
    streams: Streams,
}

impl DerivedWatch {
    /// Nothing was looked at yet.
    pub fn new(library: Option<&Path>, store: &Store) -> Self {
        Self { library: library.map(Path::to_owned), store: store.clone(), seen: None, streams: Streams::default() }
    }

    /// Those that are enabled, as they were when last looked at.
    pub fn streams(&self) -> &Streams {
        &self.streams
    }

    /// Looks again: what there was before, if there is something else now. What cannot be looked at stays as it is.
    pub fn look(&mut self) -> Option<Streams> {
        let (library, store, seen) = (self.library.as_deref(), &self.store, &mut self.seen);
        let read = blocking::here(|| {
            let now = Seen::now(library, store)?;
            if seen.as_ref() == Some(&now) {
                return anyhow::Ok(None);
            }
            let streams = Streams::read(library, store)?;
            *seen = Some(now);
            Ok(Some(streams))
        });
        let new = match read {
            Ok(streams) => streams?.after(&self.streams),
            Err(error) => {
                let error = format!("{error:#}");
                tracing::error!(error, "the streams of plugins could not be looked at; they go on");
                return None;
            }
        };
        (new != self.streams).then(|| std::mem::replace(&mut self.streams, new))
    }
}
