//! What an administrator types to expose a server safely: rule sets for a firewall, and the lines of a tunnel.
//!
//! Everything here is text made from listeners: nothing is run, loaded or looked up.

pub mod firewall;
pub mod tunnel;
