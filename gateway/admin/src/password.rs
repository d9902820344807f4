//! Passwords of people: argon2id (RFC 9106) in PHC string form.

use argon2::password_hash::{PasswordHasher, PasswordVerifier, phc};
use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::BASE64_NOPAD;

/// The longest password, in bytes.
pub const PASSWORD_BYTES_MAX: usize = 1_024;
/// The shortest password we hash, in bytes (NIST SP 800-63B asks for 8 or more; we ask for more as there is no second factor).
pub const PASSWORD_BYTES_MIN: usize = 12;

/// A password hash as a PHC string, `$argon2id$v=19$m=..`. Not a secret one can sign in with, but kept out of logs.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(String);

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Why a password cannot be hashed or a stored hash not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// Too short.
    #[error("a password has at least {PASSWORD_BYTES_MIN} bytes: choose a longer one")]
    Short,
    /// Too long.
    #[error("a password has at most {PASSWORD_BYTES_MAX} bytes: choose a shorter one")]
    Long,
    /// The stored text is not an argon2id PHC string.
    #[error("the stored password hash is not an argon2id PHC string: set the password anew")]
    Malformed,
}

impl PasswordHash {
    /// Hashes a password with the given salt (16 random bytes): 19 MiB, 2 passes, 1 lane, as OWASP recommends.
    pub fn new(password: &[u8], salt: &[u8; 16]) -> Result<Self, PasswordError> {
        if password.len() < PASSWORD_BYTES_MIN {
            return Err(PasswordError::Short);
        }
        Self::hash(password, salt)
    }

    fn hash(password: &[u8], salt: &[u8; 16]) -> Result<Self, PasswordError> {
        if password.len() > PASSWORD_BYTES_MAX {
            return Err(PasswordError::Long);
        }
        let hash = hasher().hash_password_with_salt(password, salt).map_err(|_| PasswordError::Malformed)?;
        Ok(Self(hash.to_string()))
    }

    /// Takes a stored PHC string.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let hash = phc::PasswordHash::new(text).map_err(|_| PasswordError::Malformed)?;
        if hash.algorithm.as_str() != "argon2id" || hash.hash.is_none() {
            return Err(PasswordError::Malformed);
        }
        Ok(Self(text.to_owned()))
    }

    /// The PHC string, for storing.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `password` is the one; takes tens of milliseconds.
    pub fn verify(&self, password: &[u8]) -> bool {
        phc::PasswordHash::new(&self.0).is_ok_and(|hash| hasher().verify_password(password, &hash).is_ok())
    }

    /// A hash that no password fits, as costly to check as a real one: for names that do not exist. Made up, not worked out: a
    /// start has no time for that, and nobody can tell a random hash from one whose password is not known.
    ///
    /// # Errors
    /// Never: it has the form of any other.
    pub fn nobody(random: [u8; 48]) -> Result<Self, PasswordError> {
        let (salt, hash) = random.split_at(16);
        let (params, text) = (Params::DEFAULT, |bytes: &[u8]| BASE64_NOPAD.encode(bytes));
        Self::parse(&format!(
            "$argon2id$v={}$m={},t={},p={}${}${}",
            u32::from(Version::V0x13),
            params.m_cost(),
            params.t_cost(),
            params.p_cost(),
            text(salt),
            text(hash)
        ))
    }
}

fn hasher() -> Argon2<'static> {
    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_nobody_costs_what_any_other_does_and_fits_nothing() {
        let (nobody, somebody) =
            (PasswordHash::nobody([9; 48]).unwrap(), PasswordHash::new(b"correct horse", &[7; 16]).unwrap());
        let form = |hash: &PasswordHash| {
            let parts: Vec<String> = hash.as_str().split('$').map(str::to_owned).collect();
            (parts[..4].to_vec(), parts[4].len(), parts[5].len(), parts.len())
        };
        assert_eq!(form(&nobody), form(&somebody));
        assert!(!nobody.verify(b"") && !nobody.verify(&[9; 48]) && !nobody.verify(b"correct horse"));
    }

    #[test]
    fn only_the_right_password_fits() {
        let hash = PasswordHash::new(b"correct horse", &[7; 16]).unwrap();
        assert!(hash.verify(b"correct horse"));
        assert!(!hash.verify(b"correct horsf"));
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"));
        assert_eq!(PasswordHash::parse(hash.as_str()), Ok(hash.clone()));
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }

    #[test]
    fn weak_oversized_and_foreign_ones_are_refused() {
        assert_eq!(PasswordHash::new(b"short", &[7; 16]), Err(PasswordError::Short));
        assert_eq!(PasswordHash::new(&[b'a'; 1_025], &[7; 16]), Err(PasswordError::Long));
        for text in ["", "plain", "$argon2i$v=19$m=16,t=2,p=1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAA"] {
            assert_eq!(PasswordHash::parse(text), Err(PasswordError::Malformed), "{text}");
        }
    }
}
