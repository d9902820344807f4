//! The only place where rooms meet: each adapter implements a trait one room declares with what another room offers.
//!
//! | module | implements | with |
//! | --- | --- | --- |
//! | [`keys`] | `auth::KeyStore` | `store` |
//! | [`bonds`] | `collect::ble::Memory` | `store` |
//! | [`athletes`] | `seal::AthleteKeys` | `store` |
//! | [`commits`] | the writer's watcher, counting for `admin::Metrics` | `store` |
//! | [`content`] | `release::content::Allowed` | `release::known`, the settings |
//! | [`outbox`] | `sync::Outbox` | `store` |
//! | [`releases`] | `release::known::Shelf` | `store` |
//! | [`zone`] | `decode::gatt::Zone` | the zones of the settings |
//! | [`page`] | `admin::{View, Users, Commands}` | `store` |

pub mod athletes;
pub mod bonds;
pub mod commits;
pub mod content;
pub mod keys;
pub mod outbox;
pub mod page;
pub mod releases;
pub mod zone;
