//! What is opened, connected or started after the server listens, and the helper processes that do it.
//!
//! A helper is this program again, started before the server has any thread, with one end of a socket as its standard
//! input. It ends when that socket closes. What it does is asked for in typed messages ([`wire`]). One that ends by itself is
//! started again by the helper that starts helpers ([`start_helper`]).

pub mod auth_helper;
mod calls;
pub mod folder;
#[cfg(feature = "kms")]
pub mod kms;
mod log_file;
pub mod open_helper;
pub mod opener;
pub mod private;
mod relay;
mod spawn;
pub mod start_helper;
#[cfg(feature = "kms")]
pub mod uinput;
pub mod wire;

pub use auth_helper::{RemoteCertificates, RemoteKeys};
pub use calls::{CallError, Calls, Change, Line, Numbered};
pub use log_file::aside;
pub use open_helper::RemoteOpener;
pub use opener::{DisplayAddress, InProcess, OpenRequest, Opener, OpenerError};
pub use relay::Relay;
pub use spawn::{SpawnError, Surroundings, THIS_PROGRAM, own_socket, spawn};
pub use start_helper::{Kind, RemoteStarter, StartError};
