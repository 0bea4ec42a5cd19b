//! TLS: the server's certificate, certificates of clients, and the layer itself, for VeNCrypt and for `wss:`.
//!
//! A [`CertificateStore`] holds what a [`CertificateSource`] loads, and can load it again while connections live: each keeps
//! what it began with. [`CertificateStore::accept`] puts the layer on a transport and says in its `info` what came of it: that
//! it is encrypted, who the client proved to be, and the channel binding of RFC 9266.
//!
//! Which suites and groups: `config`. INVARIANT: no anonymous suite, no early data and no session that could be resumed, so
//! that every connection proves the server's certificate, and the client's where one is demanded.

mod certificate;
mod clients;
mod config;
pub mod identity;
mod settings;
mod store;
mod stream;

pub use certificate::{
    CertificateError, CertificateFacts, CertificateSource, Files, Material, own_names, read_chain, read_key,
};
pub use settings::{ClientCertificates, Settings, SettingsError};
pub use store::{CertificateStore, Purpose, StoreError};
pub use stream::TlsError;
