//! Connections of one address. Whoever opens more than a share of what there is finds the door closed, and keeps nobody else waiting.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

/// Who is here, by address.
#[derive(Debug)]
pub struct Crowd {
    each_max: usize,
    here: Mutex<HashMap<IpAddr, usize>>,
}

/// One connection; it leaves when dropped.
#[derive(Debug)]
pub struct Guest {
    crowd: Arc<Crowd>,
    origin: IpAddr,
}

impl Crowd {
    /// Of one address no more than this.
    pub fn new(each_max: usize) -> Arc<Self> {
        Arc::new(Self { each_max, here: Mutex::default() })
    }

    /// One more; none if there are enough of that address.
    pub fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Guest> {
        let origin = origin(address);
        let mut here = self.here.lock();
        let count = here.entry(origin).or_default();
        if *count >= self.each_max {
            return None;
        }
        *count += 1;
        Some(Guest { crowd: Arc::clone(self), origin })
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut here = self.crowd.here.lock();
        if let Some(count) = here.get_mut(&self.origin) {
            *count -= 1;
            if *count == 0 {
                here.remove(&self.origin);
            }
        }
    }
}

/// A subscriber has a whole /64 of IPv6.
fn origin(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX))),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_address_so_many_are_let_in_and_another_is_not_kept_out() {
        let crowd = Crowd::new(2);
        let enter = |address: &str| crowd.enter(address.parse().unwrap());
        let first = (enter("192.0.2.1"), enter("::ffff:192.0.2.1"));
        assert!(first.0.is_some() && first.1.is_some());
        assert!(enter("192.0.2.1").is_none() && enter("192.0.2.2").is_some());
        let six = (enter("2001:db8::1"), enter("2001:db8::2:1"));
        assert!(six.0.is_some() && six.1.is_some());
        assert!(enter("2001:db8::3").is_none(), "one subscriber");
        assert!(enter("2001:db8:0:1::3").is_some());
        drop((first, six));
        assert!(crowd.here.lock().is_empty(), "nobody is remembered");
    }
}
