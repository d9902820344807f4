//! The journal's commits in the metrics.

use std::sync::Arc;

use pitchside_admin::Metrics;
use pitchside_store::Store;

/// From now on every journal commit is counted and timed. To be called once a store, before anything is let in.
pub fn count(store: &Store, metrics: &Arc<Metrics>) {
    let metrics = Arc::clone(metrics);
    let first = store.watch_commits(move |took| {
        metrics.commits.inc();
        metrics.commit_seconds.observe(took.as_secs_f64());
    });
    if !first {
        tracing::error!("the journal's commits are counted by somebody else already; these metrics stay at zero");
    }
}

#[cfg(test)]
mod tests {
    use pitchside_model::{Assurance, DeviceId, Entry, Epoch, Seq};
    use pitchside_store::RootKey;

    use super::*;

    #[tokio::test]
    async fn each_commit_is_counted_and_timed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), RootKey::new([1; 32])).unwrap();
        let metrics = Metrics::new();
        count(&store, &metrics);
        for seq in 0..2 {
            let entry = Entry {
                device: DeviceId::parse("s7").unwrap(),
                athlete: None,
                assurance: Assurance::Noise,
                epoch: Epoch(1),
                seq: Seq(seq),
                readings: Vec::new(),
            };
            store.journal_append(vec![entry]).await.unwrap();
        }
        let text = metrics.text().unwrap();
        for line in ["pitchside_journal_commits_total 2", "pitchside_journal_commit_seconds_count 2"] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
        assert!(!text.contains("pitchside_journal_commit_seconds_sum 0.0\n"), "{text}");
    }
}
