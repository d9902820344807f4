//! What one may ask for over HTTP, method GET:
//!
//! | path | answer |
//! | --- | --- |
//! | `/content/<name>?groups=<first>-<last>` | a slice: those groups and the hashes that prove them ([`super::slice`]) |
//! | `/content/<name>/held` | the groups held ([`super::groups`]) |
//!
//! 200 with a length; 404 where the content is not held or not in the ledger (which of the two is not said); 409 where a
//! group is not held yet; 503 with Retry-After where all places are taken; 400 for anything out of form.

use std::fmt;

use super::{ContentId, Span};

/// A request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Which groups are held.
    Held(ContentId),
    /// These groups.
    Slice(ContentId, Span),
}

/// Why a request is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    /// Another path altogether.
    #[error("ask for /content/<name>?groups=<first>-<last> or /content/<name>/held")]
    Path,
    /// The name is none.
    #[error(transparent)]
    Name(#[from] super::NotAContentId),
    /// The groups are out of form, backwards, or too many.
    #[error("groups=<first>-<last>: decimal, in order, at most 64 groups")]
    Groups,
}

impl Ask {
    /// The content asked for.
    pub const fn content(self) -> ContentId {
        match self {
            Self::Held(content) | Self::Slice(content, _) => content,
        }
    }

    /// Reads path and query of a request. There is one spelling of each: no leading zeros, no further parameters.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(path: &str, query: Option<&str>) -> Result<Self, AskError> {
        let rest = path.strip_prefix("/content/").ok_or(AskError::Path)?;
        match (rest.strip_suffix("/held"), query) {
            (Some(name), None) => Ok(Self::Held(name.parse()?)),
            (None, Some(query)) => {
                let (first, last) =
                    query.strip_prefix("groups=").and_then(|range| range.split_once('-')).ok_or(AskError::Groups)?;
                let number = |text: &str| text.parse().ok().filter(|n: &u32| n.to_string() == text);
                let ends = number(first).zip(number(last)).ok_or(AskError::Groups)?;
                Ok(Self::Slice(rest.parse()?, Span::new(ends.0, ends.1).ok_or(AskError::Groups)?))
            }
            _ => Err(AskError::Path),
        }
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(content) => write!(f, "/content/{content}/held"),
            Self::Slice(content, span) => write!(f, "/content/{content}?groups={}-{}", span.first, span.last),
        }
    }
}
