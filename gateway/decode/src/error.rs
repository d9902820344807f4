//! Why a payload was refused. Every refusal has a short stable name ([`DecodeError::code`]) for receipts, cases and
//! quarantine, and a sentence for people.

use std::fmt;

/// A payload was refused, whole: a message is accepted or refused, never in parts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Faulty SenML.
    #[error("SenML record {record}: {fault}")]
    Senml {
        /// Counted from 1, as RFC 8428, 9 counts.
        record: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// Faulty waveform frame.
    #[error("waveform frame: {0}")]
    Wave(WaveFault),
    /// Faulty value of a GATT characteristic.
    #[error("GATT characteristic {characteristic:04x}: {fault}")]
    Gatt {
        /// Its 16-bit UUID.
        characteristic: u16,
        /// What is wrong with its value.
        fault: GattFault,
    },
    /// The kind needs a decoder plugin.
    #[error("a vendor payload needs a decoder plugin, and the device has none: enrol it with one")]
    NoPlugin,
    /// The kind is none of a plugin's.
    #[error("a decoder plugin reads vendor payloads only, this one is {0}")]
    NotVendor(&'static str),
    /// There is no such plugin.
    #[error("there is no plugin {0}: install it, or enrol the device with another")]
    UnknownPlugin(String),
    /// The plugin refused the payload.
    #[error("plugin {plugin} refused the payload: {reason}")]
    Refused {
        /// Which plugin.
        plugin: String,
        /// What the script threw: a name such as `short_payload`.
        reason: String,
    },
    /// The plugin returned what is no reading.
    #[error("plugin {plugin} returned nonsense in reading {reading}: {fault}")]
    Nonsense {
        /// Which plugin.
        plugin: String,
        /// Counted from 1.
        reading: usize,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The plugin would keep what it may not.
    #[error("plugin {plugin} read the payload and would keep what it may not: {fault}")]
    Unkept {
        /// Which plugin.
        plugin: String,
        /// What is wrong with it.
        fault: Fault,
    },
    /// The script failed or exceeded a limit, or there was no process to run it.
    #[error("plugin {plugin} failed: {reason}")]
    PluginFault {
        /// Which plugin.
        plugin: String,
        /// What happened.
        reason: String,
        /// Its process was gone for what no script does: killed from outside, or starved on a machine that is busy.
        from_outside: bool,
    },
    /// The plugin failed too often.
    #[error("plugin {plugin} is switched off after {faults} faults: correct it and reload, or replace it")]
    SwitchedOff {
        /// Which plugin.
        plugin: String,
        /// How many faults.
        faults: u32,
    },
}

impl DecodeError {
    /// The stable short name, e.g. `unknown_unit`. A plugin's own refusals keep the name the script threw.
    pub fn code(&self) -> &str {
        match self {
            Self::Senml { fault, .. } | Self::Nonsense { fault, .. } | Self::Unkept { fault, .. } => fault.code(),
            Self::Wave(fault) => fault.code(),
            Self::Gatt { fault, .. } => fault.code(),
            Self::NoPlugin => "no_plugin",
            Self::NotVendor(_) => "not_vendor",
            Self::UnknownPlugin(_) => "unknown_plugin",
            Self::Refused { reason, .. } => reason,
            Self::PluginFault { .. } => "plugin_fault",
            Self::SwitchedOff { .. } => "plugin_off",
        }
    }

    /// Whether the same payload could be accepted later: the plugin is at fault, or not there, not the payload. (What a plugin
    /// only passes on is the device's fault, whoever finds it: [`Fault::is_of_the_payload`].)
    pub const fn is_ours(&self) -> bool {
        match self {
            Self::Nonsense { fault, .. } => !fault.is_of_the_payload(),
            Self::PluginFault { .. } | Self::Unkept { .. } | Self::SwitchedOff { .. } | Self::UnknownPlugin(_) => true,
            Self::Senml { .. } | Self::Wave(_) | Self::Gatt { .. } => false,
            Self::NoPlugin | Self::NotVendor(_) | Self::Refused { .. } => false,
        }
    }

    /// Whether there was no process to run the script, for what no script does: the payload is not to blame.
    pub const fn is_from_outside(&self) -> bool {
        matches!(self, Self::PluginFault { from_outside: true, .. })
    }

    /// Whether any other payload of this plugin would fare the same now.
    pub const fn is_of_the_plugin(&self) -> bool {
        matches!(self, Self::SwitchedOff { .. } | Self::UnknownPlugin(_))
    }
}

macro_rules! faults {
    ($(#[$meta:meta])* $type:ident { $($(#[doc = $doc:literal])* $name:ident $(($($field:ty),*))? = $code:literal, $text:literal;)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
        pub enum $type { $($(#[doc = $doc])* #[error($text)] $name $(($($field),*))?,)* }
        impl $type {
            /// The stable short name.
            pub const fn code(&self) -> &'static str {
                match self { $(Self::$name { .. } => $code,)* }
            }
        }
    };
}

faults! {
    /// What is wrong with a SenML record, or with a reading a plugin returned.
    Fault {
        /// Not CBOR, or cut short.
        BadCbor = "bad_cbor", "not well-formed CBOR, or cut short";
        /// Not JSON, or cut short.
        BadJson(&'static str) = "bad_json", "not well-formed JSON: {0}";
        /// Not UTF-8.
        BadUtf8 = "bad_utf8", "not UTF-8";
        /// The pack is no array, or a record no map.
        NotAPack = "not_a_pack", "a SenML pack is an array of records";
        /// Streams are not accepted.
        Indefinite = "indefinite_length", "a pack is an array of definite length and its strings are definite (RFC 8428, 6)";
        /// Something follows the pack.
        Trailing = "trailing_bytes", "bytes follow the pack";
        /// Nothing was measured.
        Empty = "empty", "there is no reading in it";
        /// Too many readings.
        TooMany(usize) = "too_many", "more than {0} readings in one message";
        /// A label stands twice.
        DuplicateLabel(&'static str) = "duplicate_label", "label {0:?} stands twice in one record";
        /// A label is of the wrong type.
        LabelType(&'static str) = "label_type", "label {0:?} has a value of the wrong type";
        /// A CBOR label written as text.
        TextLabel(&'static str) = "text_label", "label {0:?} is written as a number in CBOR (RFC 8428, table 4)";
        /// A label we would have to understand.
        MustUnderstand(Text) = "must_understand", "label {0} ends in '_': it must be understood (RFC 8428, 4.4), and is not";
        /// A version we do not know.
        Version(u64) = "version", "version {0}: this gateway reads up to 10 (RFC 8428) and 26 (secondary units, RFC 9100)";
        /// Versions differ within a pack.
        VersionChanged = "version_changed", "all records of a pack have one version (RFC 8428, 4.4)";
        /// NaN or an infinity.
        NotFinite = "not_finite", "NaN and infinities are no values";
        /// More digits or a larger power than a reading holds.
        Range = "out_of_range", "a value has at most 18 digits and a power of ten of -18 to 18";
        /// An exponent sign in capitals.
        CapitalExponent = "capital_exponent", "the exponent sign is a small 'e' (RFC 8428, 5)";
        /// There is no name.
        NoName = "no_name", "there is neither a name nor a base name";
        /// The name has a forbidden character.
        BadName(Text) = "bad_name", "name {0} has characters outside A-Z a-z 0-9 - : . / _ or begins with a sign (RFC 8428, 4.5.1)";
        /// The name's last part is no quantity.
        UnknownQuantity(Text) = "unknown_quantity", "{0} is no quantity: a name ends in one, such as heart_rate";
        /// The same quantity of two sensors.
        TwoSensors(Text) = "two_sensors", "{0} begins differently from the pack's first name: readings of two sensors would become one stream";
        /// Only the gateway itself records this.
        GatewaysOwn(&'static str) = "gateways_own", "{0} is the gateway's own record: no device may send it";
        /// There is no unit.
        NoUnit(&'static str) = "no_unit", "{0} needs a unit";
        /// The unit is not registered.
        UnknownUnit(Text) = "unknown_unit", "unit {0} is not known (SenML: RFC 8428 and RFC 8798, e.g. beat/min; plugins: UCUM, e.g. /min)";
        /// The unit measures something else.
        UnitMismatch(Text, &'static str) = "unit_mismatch", "unit {0} does not measure {1}";
        /// The unit can't be converted exactly.
        InexactUnit(Text, &'static str) = "inexact_unit", "unit {0} can't be converted to that of {1} without rounding: send it in that";
        /// A record without value.
        NoValue = "no_value", "there is no value (sums alone are not stored)";
        /// More than one value.
        TwoValues = "two_values", "a record has one value (RFC 8428, 4.2)";
        /// A string or data value, or a Boolean where a number is wanted.
        ValueType(&'static str, &'static str) = "value_type", "{0} is a number, not {1}";
        /// A quantity the manifest does not name.
        Undeclared(&'static str) = "undeclared_quantity", "{0} is not among the manifest's outputs";
        /// A float where a decimal belongs.
        Float = "float_value", "a value is a whole number or a decimal, never a float: use decimal()";
        /// No list of readings.
        NotReadings(Text) = "not_readings", "a script ends in a list of readings, this one ended in {0}";
        /// A script would keep more than it may.
        StateTooLarge(usize) = "state_too_large", "more than {0} bytes of one device";
        /// A script would keep what is nested too deep.
        StateTooDeep(usize) = "state_too_deep", "lists and maps are nested more than {0} deep";
        /// A script would keep a kind of value that is not kept, or another than a field began with.
        StateKind(Text) = "state_kind", "{0} is not kept: a field keeps its kind, and holds bools, finite numbers, decimals, texts, blobs, lists and maps";
        /// No reason for a gap.
        GapReason(Text) = "gap_reason", "{0} is no reason for a gap (silent, disconnected, contact_lost, dropped, clock_step, invalid)";
        /// Samples without a period.
        Period = "period", "the samples have no period";
        /// The time is no time.
        TimeRange = "time_range", "the time is beyond ±292 years of 1970";
        /// The device's clock is too far off.
        TimeTooFar(i64) = "time_too_far", "the device's clock is {0} s ahead of the gateway's: too far to believe";
    }
}

impl Fault {
    /// Whether what a plugin returned is wrong because the device said so: a time, a unit or a number that the script passed on. The
    /// rest is the script's own: it was written so, whatever the payload.
    pub const fn is_of_the_payload(&self) -> bool {
        matches!(
            self,
            Self::TimeTooFar(_) | Self::UnknownUnit(_) | Self::UnitMismatch(..) | Self::InexactUnit(..) | Self::Range
        )
    }
}

faults! {
    /// What is wrong with a waveform frame (layout: `gateway/wire/README.md`).
    WaveFault {
        /// Too short for its header or samples.
        Short = "short_payload", "cut short";
        /// Something follows the samples.
        Trailing = "trailing_bytes", "bytes follow the samples";
        /// Unknown quantity number.
        UnknownQuantity(u16) = "unknown_quantity", "{0} is the number of no quantity";
        /// Only the gateway itself records this.
        GatewaysOwn(&'static str) = "gateways_own", "{0} is the gateway's own record: no device may send it";
        /// No samples.
        Empty = "empty", "there is no sample in it";
        /// Too many samples.
        TooMany(usize) = "too_many", "{0} samples, more than a waveform reading carries";
        /// The period is zero.
        Period = "period", "the samples have no period";
        /// The power of ten is outside -18..=18.
        Exponent(i8) = "out_of_range", "a power of ten of {0} is not between -18 and 18";
        /// A block's differences are wider than 32 bits.
        Width(u8) = "bad_width", "differences of {0} bits: at most 32";
        /// A bit is set that means nothing.
        Unused = "unused_bits", "a bit is set that means nothing";
        /// The device's clock is too far off.
        TimeTooFar(i64) = "time_too_far", "the device's clock is {0} s ahead of the gateway's: too far to believe";
    }
}

faults! {
    /// What is wrong with the value of a GATT characteristic.
    GattFault {
        /// No profile of ours.
        UnknownCharacteristic = "unknown_characteristic", "no profile of this gateway reads it: a vendor's own needs a plugin";
        /// A field that the flags announce is missing or cut.
        Short(&'static str) = "short_payload", "cut short: {0} is missing";
        /// Bytes that no flag announces.
        Trailing(usize) = "trailing_bytes", "{0} bytes follow the fields that its flags announce";
        /// More than an attribute holds.
        TooLong(usize) = "too_long", "{0} bytes: an attribute has at most 512 (Core 5.4, vol. 3 part F, 3.2.9)";
        /// A value reserved for future use, which is to be rejected, unlike a reserved bit.
        Reserved(&'static str, u32) = "reserved_value", "{0} has the reserved value {1:#x}";
        /// A value the specification prohibits, or one that a reading can't hold.
        Range(&'static str, i64) = "out_of_range", "{0} is {1}, outside what is allowed";
        /// No such date.
        Date = "bad_date", "the time stamp is no date";
        /// Not of a body.
        NotMeasured(&'static str) = "not_a_measurement", "the device marks it as data for {0}";
        /// Stored, but when?
        Undated = "no_time", "a stored measurement without a usable time: set the device's clock";
        /// Not UTF-8, or control characters.
        Text = "bad_utf8", "not UTF-8, or with control characters";
        /// The device's clock is too far off.
        TimeTooFar(i64) = "time_too_far", "the device's clock is {0} s ahead of the gateway's: too far to believe";
    }
}

/// A piece of the payload inside an error: bounded, and printed with escapes so that it can't forge a log line.
#[derive(Clone, PartialEq, Eq)]
pub struct Text(Box<str>);

/// The most bytes of a payload an error repeats.
const TEXT_BYTES_MAX: usize = 48;

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        let mut end = text.len().min(TEXT_BYTES_MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let cut = text.get(..end).unwrap_or_default();
        if end < text.len() { Self(format!("{cut}…").into()) } else { Self(cut.into()) }
    }
}
impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}
