//! Why the ledger refuses something: a number that stays, and a sentence for people.

/// The longest sentence, in bytes.
pub const TEXT_BYTES_MAX: usize = 400;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $number:literal $lasting:literal $text:literal;)*) => {
        /// A reason, as a number that never changes its meaning.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Code { $($(#[$doc])* $name = $number,)* }

        impl Code {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The reason of a number.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Whether sending the same bytes again is pointless.
            pub const fn is_lasting(self) -> bool {
                match self { $(Self::$name => $lasting,)* }
            }

            /// The short sentence of a reason.
            pub const fn sentence(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}
codes! {
    /// Not a message, header or transaction in the form of this protocol.
    Malformed = 1 true "not in the form this protocol prescribes";
    /// The signer is not enrolled, or no longer.
    NotEnrolled = 2 true "not enrolled with this ledger; the operator enrols gateways with `ledgerd enrol-gateway`";
    /// The header names another gateway than the one that is connected.
    WrongGateway = 3 true "this header belongs to another gateway";
    /// The signature does not verify under the enrolled key.
    BadSignature = 4 true "the signature does not verify under the enrolled key";
    /// A validly signed header that does not continue the chain the ledger holds; kept as evidence.
    Fork = 5 true "does not continue the chain the ledger holds; kept as evidence";
    /// Another header stands at this (gateway, incarnation, index); kept as evidence.
    Conflict = 6 true "another header already stands at this place; kept as evidence";
    /// Earlier blocks are missing; send those first.
    Gap = 7 false "earlier blocks are missing; send those first";
    /// An incarnation below the gateway's present one.
    OldIncarnation = 8 true "of an incarnation that a restore has ended";
    /// A chunk that does not begin where the held bytes end.
    WrongOffset = 9 false "does not begin where the bytes the ledger holds end";
    /// The finished payload does not hash to what the header says; the upload begins again.
    PayloadMismatch = 10 false "the payload does not hash to what the header says; upload it again";
    /// Larger than the ledger's bounds.
    TooLarge = 11 true "larger than this ledger allows";
    /// Too much at once; later it may fit.
    Busy = 12 false "the ledger has too much to do; try again later";
    /// The ledger could not store it (its disk is full, for instance).
    Storage = 13 false "the ledger could not store this; its operator must look";
    /// What was asked for is not here.
    Unknown = 14 true "not held here";
    /// The state of the log does not allow it.
    NotAllowed = 15 true "the state of the log does not allow this";
    /// A transaction of a state machine version the log does not run.
    Version = 16 true "of another version than this log runs";
}

/// A refusal: which reason, and in more words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Refusal {
    /// The reason.
    pub code: Code,
    /// One sentence: what happened, and what to do where that helps. At most [`TEXT_BYTES_MAX`] bytes, no health data.
    pub text: String,
}

impl Refusal {
    /// With the reason's own sentence.
    pub fn plain(code: Code) -> Self {
        Self { code, text: code.sentence().to_owned() }
    }

    /// With details after the reason's own sentence; cut at the bound.
    pub fn because(code: Code, detail: impl std::fmt::Display) -> Self {
        let mut text = format!("{}: {detail}", code.sentence());
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        Self { code, text }
    }
}
