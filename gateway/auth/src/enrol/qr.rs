//! A card as a QR code: for a terminal, and as SVG for the browser. Level M: a quarter may be smudged.

use qrcode::render::{svg, unicode};
use qrcode::{EcLevel, QrCode};
use zeroize::Zeroizing;

use super::Card;

/// The text does not fit in a QR code; a card always does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the enrolment text does not fit in a QR code")]
pub struct QrError;

impl Card {
    fn code(&self) -> Result<QrCode, QrError> {
        QrCode::with_error_correction_level(self.to_text().as_bytes(), EcLevel::M).map_err(|_| QrError)
    }

    /// Lines of half blocks, dark on light, for a terminal of dark background.
    pub fn to_terminal(&self) -> Result<Zeroizing<String>, QrError> {
        let (dark, light) = (unicode::Dense1x2::Light, unicode::Dense1x2::Dark);
        let text =
            self.code()?.render::<unicode::Dense1x2>().dark_color(dark).light_color(light).quiet_zone(true).build();
        Ok(Zeroizing::new(text))
    }

    /// An SVG picture of at least 256 units.
    pub fn to_svg(&self) -> Result<Zeroizing<String>, QrError> {
        let picture = self.code()?.render::<svg::Color<'_>>().min_dimensions(256, 256).quiet_zone(true).build();
        Ok(Zeroizing::new(picture))
    }
}
