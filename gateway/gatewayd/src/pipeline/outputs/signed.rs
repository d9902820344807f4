//! Signatures of webhooks by the Standard Webhooks specification 1.0.0 (github.com/standard-webhooks): HMAC-SHA256 over
//! `ID.TIMESTAMP.BODY`, written `v1,BASE64`; keys are written `whsec_BASE64`. Whoever receives checks the bytes as they came, and
//! refuses what is older than a few minutes; so each attempt is signed anew, under the same id.

use std::fmt;

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::{Zeroize as _, Zeroizing};

const PREFIX: &str = "whsec_";
/// What the specification asks of a key, in bytes.
const KEY_BYTES: std::ops::RangeInclusive<usize> = 24..=64;
/// The most keys at once: the one in use, and the one before or after it.
const KEYS_MAX: usize = 2;

/// Why a text is no key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is spelt otherwise.
    #[error("a signing key is `whsec_` and base64 of 24 to 64 bytes: `--generate` makes one")]
    Spelling,
    /// Too many.
    #[error("at most {KEYS_MAX} signing keys, with a space between them, while receivers change from one to the other")]
    TooMany,
}

/// The keys that sign. While receivers change from one to another there are two, with a space between them, and both sign.
pub struct SigningKeys(Vec<Zeroizing<Vec<u8>>>);

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKeys").field("keys", &self.0.len()).finish_non_exhaustive()
    }
}

impl SigningKeys {
    /// Reads one key, or two.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let key = |word: &str| {
            let encoded = word.strip_prefix(PREFIX)?;
            let mut bytes = BASE64.decode(encoded.as_bytes()).ok()?;
            if KEY_BYTES.contains(&bytes.len()) {
                return Some(Zeroizing::new(bytes));
            }
            bytes.zeroize();
            None
        };
        let keys: Vec<_> = text.split(' ').map(key).collect::<Option<_>>().ok_or(KeyError::Spelling)?;
        if keys.len() > KEYS_MAX { Err(KeyError::TooMany) } else { Ok(Self(keys)) }
    }

    /// A new key of these random bytes, as it is written.
    pub fn generate(random: &Zeroizing<[u8; 32]>) -> Zeroizing<String> {
        let encoded = Zeroizing::new(BASE64.encode(random.as_slice()));
        Zeroizing::new(format!("{PREFIX}{}", *encoded))
    }

    /// The header `webhook-signature` of a body sent under `id` at `seconds` since 1970.
    pub fn sign(&self, id: &str, seconds: i64, body: &[u8]) -> String {
        let one = |key: &Zeroizing<Vec<u8>>| {
            // HMAC takes keys of any length.
            let mut mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
            for part in [id.as_bytes(), b".", seconds.to_string().as_bytes(), b".", body] {
                mac.update(part);
            }
            Some(format!("v1,{}", BASE64.encode(&mac.finalize().into_bytes())))
        };
        self.0.iter().filter_map(one).collect::<Vec<_>>().join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's own libraries.
    const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

    #[test]
    fn the_vector_of_the_specification_holds() {
        let keys = SigningKeys::parse(SECRET).unwrap();
        assert_eq!(keys.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#), SIGNATURE);
    }

    #[test]
    fn while_keys_change_both_sign() {
        let other = SigningKeys::generate(&Zeroizing::new([7; 32]));
        let both = SigningKeys::parse(&format!("{SECRET} {}", *other)).unwrap();
        let signed = both.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, br#"{"test": 2432232314}"#);
        assert!(signed.starts_with(&format!("{SIGNATURE} v1,")), "{signed}");
        assert!(!format!("{both:?}").contains("MfKQ"), "keys are not in Debug");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in [
            "",
            "whsec_",
            "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "whsec_AAAA",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
            "whsec_*fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ] {
            assert_eq!(SigningKeys::parse(bad).unwrap_err(), KeyError::Spelling, "{bad}");
        }
        assert_eq!(SigningKeys::parse(&[SECRET; 3].join(" ")).unwrap_err(), KeyError::TooMany);
    }
}
