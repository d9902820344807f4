//! The thread that starts workers, and stays. A worker asks the kernel to end it with its parent, and for the kernel that is the thread
//! which started it: those of a runtime come and go while the gateway lives.

use std::io;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;

/// A process to start, and who waits for it.
struct Order {
    command: Command,
    /// It tells of the process's end.
    runtime: Handle,
    answer: SyncSender<io::Result<Child>>,
}

static STARTER: Mutex<Option<SyncSender<Order>>> = Mutex::new(None);

/// Starts a process as a child of this one, however long the calling thread lives. Needs a tokio runtime.
pub(super) fn spawn(command: Command) -> io::Result<Child> {
    let (answer, answered) = sync_channel(1);
    let order = Order { command, runtime: Handle::current(), answer };
    let mut starter = STARTER.lock().unwrap_or_else(PoisonError::into_inner);
    let orders = match starter.take() {
        Some(orders) => orders,
        None => begin()?,
    };
    // Kept if it took the order: else its thread is gone, and the next one begins another.
    if orders.send(order).is_ok() {
        *starter = Some(orders);
    }
    drop(starter);
    answered.recv().map_err(|_| io::Error::other("the thread that starts processes is gone"))?
}

fn begin() -> io::Result<SyncSender<Order>> {
    let (sender, orders) = sync_channel::<Order>(1);
    // Not waited for by anybody: it ends with this process.
    std::thread::Builder::new().name("starter".to_owned()).spawn(move || {
        for Order { mut command, runtime, answer } in orders {
            let _runtime = runtime.enter();
            let child = command.spawn();
            // With it goes our end of what the child was given.
            drop(command);
            // Who does not wait any more drops the child, which is killed then.
            let _ = answer.send(child);
        }
    })?;
    Ok(sender)
}
