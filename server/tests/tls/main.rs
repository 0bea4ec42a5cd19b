//! TLS and VeNCrypt against foreign certificates and a client of their own.

mod certificates;
mod clients;
mod suites;
mod vencrypt;
mod wss;

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use farpane_server::net::{ConnInfo, Transport};
use farpane_server::security::tls::{CertificateStore, Files, Settings, StoreError, own_names};
use farpane_test_support::{PATIENCE, Raw, Tls};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

fn now() -> SystemTime {
    SystemTime::now()
}

fn days(n: u64) -> Duration {
    Duration::from_secs(n * 86_400)
}

/// A store of files in `state`.
fn open(state: &Path, settings: Settings) -> Result<Arc<CertificateStore>, StoreError> {
    settings.check().unwrap();
    let source = Files::new(settings.clone(), state.to_owned(), own_names("desk.example", []));
    Ok(Arc::new(CertificateStore::open(settings, Box::new(source), now())?))
}

/// A store with a certificate of its own, the file of that certificate, and the client that trusts it.
fn own(state: &Path, settings: Settings) -> (Arc<CertificateStore>, PathBuf, Tls) {
    let store = open(state, settings).unwrap();
    let file = state.join("tls.crt");
    let tls = Tls::new(&file, "127.0.0.1", None).unwrap();
    (store, file, tls)
}

/// A client with a certificate for a server that it knows by `trusted`.
fn client(trusted: &Path, own: Option<(&Path, &Path)>) -> Tls {
    Tls::new(trusted, "127.0.0.1", own).unwrap()
}

/// Takes one connection to a loopback port and gives it to `serve`.
fn one<F, T>(runtime: &Runtime, serve: impl FnOnce(Transport) -> F + Send + 'static) -> (SocketAddr, JoinHandle<T>)
where
    F: Future<Output = T> + Send + 'static,
    T: Send + 'static,
{
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let serving = runtime.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        serve(Transport::new(stream, ConnInfo { local: false, ..ConnInfo::in_process("test") })).await
    });
    (address, serving)
}

fn raw(address: SocketAddr) -> Raw {
    Raw::over(Box::new(TcpStream::connect(address).unwrap()), PATIENCE).unwrap()
}

/// What a task came to, within the tests' patience.
fn end<T>(runtime: &Runtime, task: JoinHandle<T>) -> T {
    runtime.block_on(async { tokio::time::timeout(PATIENCE, task).await.expect("in time").unwrap() })
}
