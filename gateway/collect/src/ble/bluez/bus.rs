//! Who owns `org.bluez`: a unique name that changes when bluetoothd is restarted.

use std::sync::Arc;
use std::time::Duration;

use dbus::nonblock::{Proxy, SyncConnection};
use tokio::task::JoinHandle;

const WITHIN: Duration = Duration::from_secs(5);

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
