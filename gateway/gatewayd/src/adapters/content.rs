//! Contents of releases: what `release` may serve, by what the ledger has proven; its bounds, from the settings.

use std::time::Duration;

use pitchside_config::{Discover, Settings};
use pitchside_release::content::fetch::FetchSettings;
use pitchside_release::content::serve::ServeLimits;
use pitchside_release::content::{Allowed, ContentId, Settings as ServiceSettings};

use super::releases::KnownReleases;

impl Allowed for KnownReleases {
    fn is_in_ledger(&self, content: ContentId) -> bool {
        self.known().content(&content.0).is_some()
    }
}

/// How contents are fetched and served.
pub fn service_settings(settings: &Settings) -> ServiceSettings {
    let firmware = &settings.firmware;
    ServiceSettings {
        listen: firmware.listen,
        serve: ServeLimits { bytes_per_s: firmware.serve_bytes_per_s_max, ..ServeLimits::default() },
        fetch: FetchSettings {
            ledger: firmware.ledger_store.clone(),
            ledger_jitter_max: Duration::from_secs(firmware.ledger_store_wait_s_max.into()),
            ..FetchSettings::default()
        },
        fetch_bytes_per_s: firmware.fetch_bytes_per_s_max,
        discover: firmware.discover == Discover::Mdns,
        boxes: firmware.boxes.iter().copied().collect(),
    }
}

#[cfg(test)]
mod tests {
    use pitchside_config::settings::SERVE_BYTES_PER_S_MIN;
    use pitchside_release::content::client::Patience;

    #[test]
    fn the_least_rate_that_settings_allow_is_one_that_other_boxes_bear() {
        assert!(SERVE_BYTES_PER_S_MIN >= 2 * Patience::default().bytes_per_s_min, "two are served at once");
    }
}
