//! Simulated platforms and a sample ERP, for `cadenced demo` and the tests.
//!
//! The platforms are written from their contracts alone and share no code with the client side: a misreading
//! there must not be repeated here. They refuse what the contract refuses, and can be told to misbehave in the ways
//! real platforms do ([`Fault`], [`Totals`], [`Sort`], hooks between pages). Only `cli` and the tests use them.
//!
//! Every platform runs on a thread of its own with its own runtime, so a test may pause its time, block, or kill
//! the daemon under test without disturbing the other end. Handles are cheap clones; dropping the last one stops
//! the platform.

/// Simulated B2Market: login and orders.
pub mod b2market;
/// Simulated Commerceup: stock, links, order status, and the calls it makes.
pub mod commerceup;
/// Simulated Cortecloud: services and materials.
pub mod cortecloud;
/// The demo's source of life: orders, edits and stock movements that keep coming.
pub mod demo;
/// A small trading ERP in SQLite.
pub mod erp;
/// Simulated Eryxon: the sync endpoints of a shop floor.
pub mod eryxon;
/// Simulated ONe, complete.
pub mod one;

mod clock;
mod exchange;
mod fault;
mod fields;
mod platform;
mod requests;
mod running;
mod wire;

pub use b2market::{Answers, B2Market, Format, Lists, Sort, Totals};
pub use clock::Clock;
pub use commerceup::Commerceup;
pub use cortecloud::Cortecloud;
pub use eryxon::Eryxon;
pub use exchange::BrokenRule;
pub use fault::{Fault, Hold, PlannedFault};
pub use one::One;
pub use platform::{BadSwitch, Kind, PLATFORMS, Platform, Switch, Switches, Takes};
pub use requests::{Request, Violation};
pub use running::Running;
pub use wire::{Wire, WireOptions};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what only short, panic-free sections change; a test that panicked elsewhere must not hide its own message.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
