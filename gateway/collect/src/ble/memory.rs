//! Who was bonded once, remembered apart from BlueZ's own store: so that a bond this box has lost is told from a first one, and that
//! none but our own bonds are ever removed.

use pitchside_model::{BleAddress, DeviceId};

/// Between whom a bond was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Made {
    /// The adapter's own address.
    pub adapter: BleAddress,
    /// The device's identity address.
    pub device: BleAddress,
}

/// The memory. Its calls may block on the disk.
pub trait Memory: Send + Sync + 'static {
    /// The bonds with this device that are remembered, in the order in which they were made.
    fn made(&self, device: &DeviceId) -> Vec<Made>;

    /// One was. Durable when it returns.
    ///
    /// # Errors
    /// It could not be kept, and why.
    fn bonded(&self, device: &DeviceId, made: Made) -> Result<(), String>;

    /// Bonds that the host is to remove: of devices that are no longer enrolled, and of those that somebody asked to be forgotten.
    ///
    /// # Errors
    /// It is not known, and why.
    fn given_up(&self) -> Result<Vec<(DeviceId, Made)>, String>;

    /// The host has removed one. Durable when it returns.
    ///
    /// # Errors
    /// It could not be kept, and why.
    fn removed(&self, device: &DeviceId, made: Made) -> Result<(), String>;
}

/// Where a device has its bond that an adapter has none with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Elsewhere {
    /// With another adapter that is there.
    There(BleAddress),
    /// With one that is not.
    Gone(BleAddress),
}

/// Whether any of the bonds that were made and not given up is with another adapter than `own`: with one that is there rather than with
/// one that is not.
pub fn elsewhere(
    made: &[Made],
    given_up: &[(DeviceId, Made)],
    own: BleAddress,
    is_there: impl Fn(BleAddress) -> bool,
) -> Option<Elsewhere> {
    let is_kept = |made: &&Made| !given_up.iter().any(|(_, gone)| gone == *made);
    // The device's key is the last one's: that bond lost, the older ones let nobody in.
    if made.iter().rev().find(is_kept).is_some_and(|made| made.adapter == own) {
        return None;
    }
    let others: Vec<BleAddress> =
        made.iter().filter(is_kept).map(|made| made.adapter).filter(|at| *at != own).collect();
    let there = others.iter().copied().find(|adapter| is_there(*adapter)).map(Elsewhere::There);
    there.or_else(|| others.last().copied().map(Elsewhere::Gone))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bond_with_another_adapter_keeps_a_device_from_pairing_here_until_it_is_given_up() {
        let [own, other, pulled] = [1, 2, 3].map(|adapter| BleAddress([adapter; 6]));
        let made = |adapter| Made { adapter, device: BleAddress([0xF0; 6]) };
        let given_up = |adapter| vec![(DeviceId::parse("strap").unwrap(), made(adapter))];
        let is_there = |adapter: BleAddress| adapter != pulled;
        let asked = |all: &[BleAddress], given_up: &[(DeviceId, Made)]| {
            let all: Vec<Made> = all.iter().copied().map(made).collect();
            elsewhere(&all, given_up, own, is_there)
        };
        assert_eq!(asked(&[], &[]), None, "a first bond");
        assert_eq!(asked(&[own], &[]), None, "one that the host has lost");
        assert_eq!(asked(&[other], &[]), Some(Elsewhere::There(other)));
        assert_eq!(
            (asked(&[other, own], &[]), asked(&[pulled, own], &[])),
            (None, None),
            "the last one's key is the device's"
        );
        assert_eq!(asked(&[own, other, pulled], &[]), Some(Elsewhere::There(other)), "whatever else there was");
        assert_eq!(asked(&[pulled], &[]), Some(Elsewhere::Gone(pulled)));
        // Somebody said `device forget`.
        assert_eq!(asked(&[pulled], &given_up(pulled)), None);
        assert_eq!(asked(&[pulled, other], &given_up(pulled)), Some(Elsewhere::There(other)));
    }
}
