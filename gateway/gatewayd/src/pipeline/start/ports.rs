//! Serial lines, as the settings have them.

use pitchside_collect::serial::packets::Mark;
use pitchside_collect::serial::{PacketForm, PortConfig, Speaks};
use pitchside_config::{BytePattern, SerialMode, SerialPort};

/// One line.
pub(super) fn config(port: &SerialPort) -> PortConfig {
    let speaks = match (port.mode, &port.device, port.packet_bytes) {
        (SerialMode::Wired, Some(device), _) => Speaks::Lines { device: device.clone() },
        (SerialMode::Packets, Some(device), Some(length)) => {
            let marks = |pattern: &Option<BytePattern>| {
                let bytes = pattern.iter().flat_map(BytePattern::bytes);
                bytes.map(|(value, mask)| Mark { value: *value, mask: *mask }).collect()
            };
            let (begins, ends) = (marks(&port.packet_begins), marks(&port.packet_ends));
            let form = PacketForm { length: length.into(), begins, ends, together: port.packets_together.into() };
            Speaks::Packets { device: device.clone(), form }
        }
        _ => Speaks::Ps1,
    };
    let hello = port.hello.clone().unwrap_or_default().into_bytes();
    PortConfig { hello, ..PortConfig::new(&port.path, port.baud, speaks) }
}
