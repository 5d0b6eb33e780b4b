//! Health, metrics and the control API: what the daemon lets others see and do.
//!
//! The daemon implements [`Control`]; one [`router`] offers it on two doors: the TCP address `admin.listen`, where
//! everything under `/api` needs the bearer token, and the Unix socket `control.sock` in the state directory, where
//! the file's mode (0600) is the proof. Health, metrics and the status page need no proof on either. [`client`] is the other end of
//! the Unix socket. What the answers say is the daemon's business.

pub mod client;
pub mod control;
mod http;
pub mod overview;
mod page;
mod serve;
#[cfg(test)]
pub(crate) mod tests;

pub use client::{ClientError, ControlClient};
pub use control::{Answer, Control, Refusal};
pub use http::{Access, router};
pub use overview::{JobOverview, Overview};
pub use serve::{CONTROL_SOCKET, bind_control, serve};
