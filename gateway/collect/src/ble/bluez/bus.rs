//! Who owns `org.bluez`: a unique name that changes when bluetoothd is restarted. And what it knows of a device that is not connected,
//! which bluer does not tell.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bluer::{Device, Uuid, UuidExt as _};
use dbus::Path;
use dbus::arg::{PropMap, prop_cast};
use dbus::nonblock::{Proxy, SyncConnection};
use tokio::task::JoinHandle;

use super::super::plan::Found;

const WITHIN: Duration = Duration::from_secs(5);

const SERVICE: &str = "org.bluez.GattService1";
const CHARACTERISTIC: &str = "org.bluez.GattCharacteristic1";

/// A connection of our own to the system bus.
pub(super) struct Bus {
    connection: Arc<SyncConnection>,
    task: JoinHandle<()>,
}

impl Bus {
    pub(super) async fn connect() -> Result<Self, String> {
        // Connecting blocks on a socket.
        let connected = tokio::task::spawn_blocking(dbus_tokio::connection::new_system_sync).await;
        let (resource, connection) =
            connected.map_err(|error| error.to_string())?.map_err(|error| error.to_string())?;
        let task = tokio::spawn(async move {
            let lost = resource.await;
            tracing::debug!(%lost, "the system bus is gone");
        });
        Ok(Self { connection, task })
    }

    /// What bluetoothd knows, asked over this connection.
    pub(super) fn objects(&self) -> Objects {
        Objects(Arc::clone(&self.connection))
    }

    /// Whether the connection is still there: it ends with the bus.
    pub(super) fn is_alive(&self) -> bool {
        !self.task.is_finished()
    }

    /// The unique name of bluetoothd; none if it is not running or the bus is gone.
    pub(super) async fn owner(&self) -> Option<String> {
        let proxy = Proxy::new("org.freedesktop.DBus", "/org/freedesktop/DBus", WITHIN, Arc::clone(&self.connection));
        let asked: Result<(String,), dbus::Error> =
            proxy.method_call("org.freedesktop.DBus", "GetNameOwner", ("org.bluez",)).await;
        asked.ok().map(|(owner,)| owner)
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What bluetoothd knows.
#[derive(Clone)]
pub(super) struct Objects(Arc<SyncConnection>);

/// Objects by their paths, interfaces by their names.
type Managed = HashMap<Path<'static>, HashMap<String, PropMap>>;

impl Objects {
    /// Every characteristic with a 16-bit UUID, and the handle of its service: of a bonded device BlueZ keeps them between its links.
    pub(super) async fn characteristics(&self, device: &Device) -> Result<Vec<Found<u16>>, String> {
        let proxy = Proxy::new("org.bluez", "/", WITHIN, Arc::clone(&self.0));
        let asked: Result<(Managed,), dbus::Error> =
            proxy.method_call("org.freedesktop.DBus.ObjectManager", "GetManagedObjects", ()).await;
        let (objects,) = asked.map_err(|error| error.to_string())?;
        let address = device.address().to_string().replace(':', "_");
        Ok(characteristics(&objects, &format!("/org/bluez/{}/dev_{address}", device.adapter_name())))
    }
}

fn characteristics(objects: &Managed, device: &str) -> Vec<Found<u16>> {
    let uuid = |properties: &PropMap| prop_cast::<String>(properties, "UUID")?.parse::<Uuid>().ok()?.as_u16();
    let mut services = HashMap::new();
    let mut all = Vec::new();
    for (path, interfaces) in objects {
        let Some(place) = path.strip_prefix(device).and_then(place) else { continue };
        match place {
            (service, None) => {
                services.insert(service, interfaces.get(SERVICE).and_then(uuid));
            }
            (service, Some(handle)) => {
                all.extend(interfaces.get(CHARACTERISTIC).map(|properties| (service, handle, properties)));
            }
        }
    }
    let found = |(by, handle, properties): (u16, u16, &PropMap)| {
        let flags = prop_cast::<Vec<String>>(properties, "Flags")?;
        let has = |flag: &str| flags.iter().any(|known| known == flag);
        Some(Found {
            service: services.get(&by).copied().flatten()?,
            uuid: uuid(properties)?,
            handle,
            reads: has("read"),
            writes: has("write"),
            notifies: has("notify"),
            indicates: has("indicate"),
            by,
        })
    };
    all.into_iter().filter_map(found).collect()
}

/// The handle of a service, and that of a characteristic, by a path below the device: `/service000a/char000b`.
fn place(path: &str) -> Option<(u16, Option<u16>)> {
    let handle = |word: &str| u16::from_str_radix(word, 16).ok();
    match path.strip_prefix("/service")?.split_once("/char") {
        None => Some((handle(path.strip_prefix("/service")?)?, None)),
        Some((service, characteristic)) => Some((handle(service)?, Some(handle(characteristic)?))),
    }
}

#[cfg(test)]
mod tests {
    use dbus::arg::{RefArg, Variant};

    use super::*;

    fn object(path: &str, interface: &str, uuid: &str, flags: &[&str]) -> (Path<'static>, HashMap<String, PropMap>) {
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let mut properties = PropMap::new();
        properties.insert("UUID".to_owned(), Variant(Box::new(uuid.to_owned()) as Box<dyn RefArg>));
        properties.insert("Flags".to_owned(), Variant(Box::new(flags) as Box<dyn RefArg>));
        let path = Path::new(path.to_owned()).unwrap();
        (path, HashMap::from([(interface.to_owned(), properties)]))
    }

    #[test]
    fn the_characteristics_of_one_device_are_found_among_all_that_bluez_shows() {
        let own = "/org/bluez/hci0/dev_F0_F1_F2_F3_F4_02";
        let at = |path: &str| format!("{own}{path}");
        let (thermometer, measurement) =
            ("00001809-0000-1000-8000-00805f9b34fb", "00002a1c-0000-1000-8000-00805f9b34fb");
        let vendor = "07073001-2f31-4b8e-9c6a-3d0f5e1a7c42";
        let objects = Managed::from([
            object(own, "org.bluez.Device1", thermometer, &[]),
            object(&at("/service000a"), SERVICE, thermometer, &[]),
            object(&at("/service000a/char000b"), CHARACTERISTIC, measurement, &["indicate"]),
            object(&at("/service000a/char000b/desc000d"), "org.bluez.GattDescriptor1", measurement, &[]),
            object(&at("/service000a/char000e"), CHARACTERISTIC, vendor, &["indicate"]),
            object(&at("/service0020"), SERVICE, vendor, &[]),
            object(&at("/service0020/char0021"), CHARACTERISTIC, measurement, &["indicate"]),
            object("/org/bluez/hci0/dev_F0_F1_F2_F3_F4_03/service000a", SERVICE, thermometer, &[]),
            object(
                "/org/bluez/hci1/dev_F0_F1_F2_F3_F4_02/service000a/char000f",
                CHARACTERISTIC,
                measurement,
                &["read"],
            ),
        ]);
        let found = characteristics(&objects, own);
        assert_eq!(found.len(), 1, "{found:?}");
        let Found { service, uuid, handle, reads, writes, notifies, indicates, by } = found[0];
        assert_eq!((service, uuid, handle, by), (0x1809, 0x2A1C, 0x0B, 0x0A));
        assert_eq!((reads, writes, notifies, indicates), (false, false, false, true));
    }
}
