//! What is opened, connected or started after the server listens, and the helper processes that do it.
//!
//! A helper is this program again, started before the server has any thread, with one end of a socket as its standard
//! input. It ends when that socket closes. What it does is asked for in typed messages ([`wire`]).

pub mod auth_helper;
mod calls;
pub mod open_helper;
pub mod opener;
pub mod private;
mod spawn;
pub mod wire;

pub use auth_helper::RemoteKeys;
pub use calls::{CallError, Calls, Numbered};
pub use open_helper::RemoteOpener;
pub use opener::{DisplayAddress, InProcess, OpenRequest, Opener, OpenerError};
pub use spawn::{SpawnError, Surroundings, THIS_PROGRAM, own_socket, spawn};
