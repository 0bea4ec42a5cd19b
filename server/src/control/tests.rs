use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use farpane_engine::pipeline::Lanes;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::sync::{mpsc, watch};

use super::server::{refuses, talk};
use super::*;
use crate::backend::{Backend, Layout, ResizeAnswer};
use crate::clipboard::Clipboard;
use crate::input::InputSink;
use crate::net::ConnInfo;
use crate::session::{Access, Described, Hub, Sharing};

struct Nothing;

impl Backend for Nothing {
    fn name(&self) -> String {
        "nothing".into()
    }
    fn input(&self) -> Option<Arc<dyn InputSink>> {
        None
    }
    fn clipboard(&self) -> Option<Arc<dyn Clipboard>> {
        None
    }
    fn resize(&self, _: &Layout) -> ResizeAnswer {
        ResizeAnswer::Prohibited
    }
    fn watch(&self, _: bool) {}
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

fn hub() -> Arc<Hub> {
    let (_, events) = mpsc::unbounded_channel();
    Hub::start(
        Arc::new(Nothing),
        events,
        Arc::new(Lanes::new(1, 0).unwrap()),
        None,
        Box::new(|| Box::new(farpane_engine::damage::CpuDamage::new())),
    )
}

/// The asking end of a connection that a server serves.
fn served(hub: Arc<Hub>, patience: Duration) -> DuplexStream {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    tokio::spawn(async move { talk(theirs, &hub, patience).await });
    ours
}

const PATIENCE: Duration = Duration::from_secs(20);

/// All lines of an answer to these bytes, once the server closed or had nothing more to say.
async fn said(hub: Arc<Hub>, bytes: &[u8]) -> Vec<Reply> {
    let mut ours = served(hub, PATIENCE);
    ours.write_all(bytes).await.unwrap();
    ours.shutdown().await.unwrap();
    let mut all = String::new();
    ours.read_to_string(&mut all).await.unwrap();
    all.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn error(replies: &[Reply]) -> &str {
    match replies {
        [Reply::Error(reason)] => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn requests_are_answered_in_order_on_one_connection() {
    run(async {
        let hub = hub();
        let who = Described::new(
            hub.new_id(),
            Access::anonymous(false),
            &ConnInfo::in_process("p"),
            "None (1)".into(),
            Instant::now(),
        );
        let member = hub.join(who, Sharing::Shared, 9).unwrap();
        let list = "{\"do\":\"list\"}\n";
        let wrong = "{\"do\":\"kick\",\"id\":99,\"reason\":\"x\"}\n{\"do\":\"accept\",\"id\":1}\n{\"do\":\"message\",\"id\":7,\"text\":\"x\"}\n";
        let right = "{\"do\":\"message\",\"text\":\"x\"}\n{\"do\":\"kick\",\"id\":1}\n";
        let replies = said(Arc::clone(&hub), format!("{list}{wrong}{right}").as_bytes()).await;
        let one = |shown| Reply::Done(Done { sessions: 1, shown });
        assert!(matches!(&replies[0], Reply::Session(s) if s.id == 1 && s.peer == "p"), "{replies:?}");
        assert_eq!(replies[1], one(0));
        let refused = ["no session 99", "no client that waits to be let in with number 1", "no session 7"];
        assert_eq!(replies[2..5], refused.map(|r| Reply::Error(r.into())));
        assert_eq!(replies[5..], [one(0), one(0)], "its bell rang, and it was ended");
        drop(member);
    });
}

#[test]
fn what_is_no_request_is_refused_with_a_reason_and_the_connection_closed() {
    for bytes in [
        &b"hello\n"[..],
        b"\n",
        b"{}\n",
        b"{\"do\":\"shutdown\"}\n{\"do\":\"list\"}\n",
        b"{\"do\":\"kick\"}\n",
        b"{\"do\":\"kick\",\"id\":-1}\n",
        b"{\"do\":\"list\",\"more\":1}\n",
        b"[[[[[[[[[[[[[[[[[[[[\n",
        b"\xff\xfe\n",
    ] {
        let replies = run(async { said(hub(), bytes).await });
        assert!(error(&replies).starts_with("no request: "), "{replies:?}");
    }
    assert_eq!(run(async { said(hub(), b"{\"do\":\"list\"}").await }), [], "a line without its end is none");
}

#[test]
fn a_request_may_be_16_kib_and_no_more() {
    let request = |length: usize| {
        let empty = "{\"do\":\"message\",\"text\":\"\"}".len();
        format!("{{\"do\":\"message\",\"text\":\"{}\"}}\n", "x".repeat(length - empty)).into_bytes()
    };
    let replies = run(async { said(hub(), &request(MAX_LINE)).await });
    assert_eq!(replies, [Reply::Done(Done::default())]);
    for bytes in [request(MAX_LINE + 1), vec![b'x'; 1 << 19]] {
        let replies = run(async { said(hub(), &bytes).await });
        assert!(error(&replies).contains("16384"), "{replies:?}");
    }
}

#[test]
fn one_that_is_slow_or_reads_nothing_is_closed_in_time() {
    run(async {
        let hub = hub();
        // a byte now and then does not lengthen the time for a whole line
        let mut slow = served(Arc::clone(&hub), Duration::from_millis(200));
        let end = Instant::now() + PATIENCE;
        while slow.write_all(b"{").await.is_ok() {
            assert!(Instant::now() < end, "a slow one is still served");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let (mut deaf, theirs) = tokio::io::duplex(64);
        let served = tokio::spawn(async move { talk(theirs, &hub, Duration::from_millis(200)).await });
        deaf.write_all(&b"{\"do\":\"list\"}\n".repeat(4)).await.unwrap();
        assert!(served.await.unwrap().is_err());
    });
}

#[test]
fn only_its_own_user_and_root_control_a_server() {
    assert!(!refuses(1000, Some(1000)) && !refuses(1000, Some(0)));
    assert!(refuses(1000, Some(1001)) && refuses(0, Some(1000)) && refuses(1000, None));
}

fn folder(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("farpane-control-{}-{name}", std::process::id()));
    let _ = std::fs::remove_dir_all(&path);
    path
}

#[test]
fn the_socket_is_its_owners_alone_and_goes_with_the_server() {
    let folder = folder("own");
    let path = folder.join("control-1.sock");
    let bound = Bound::bind(&path).unwrap();
    let mode = |p: &std::path::Path| std::fs::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&folder), mode(&path)), (0o700, 0o600));
    assert!(matches!(Bound::bind(&path), Err(BindError::Taken(_))), "somebody answers there");
    assert_eq!(servers(&folder).iter().map(|s| s.name.as_str()).collect::<Vec<_>>(), ["1"]);
    drop(bound);
    assert!(!path.exists());
    // one that a killed server left behind
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert_eq!(servers(&folder), []);
    drop(Bound::bind(&path).unwrap());
    std::fs::write(&path, "no socket").unwrap();
    assert!(matches!(Bound::bind(&path), Err(BindError::Taken(_))));
    assert_eq!(std::fs::read(&path).unwrap(), b"no socket");
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o770)).unwrap();
    let said = Bound::bind(&folder.join("control-2.sock")).unwrap_err().to_string();
    assert!(said.contains("770"), "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_server_is_asked_through_its_socket() {
    let folder = folder("asked");
    let bound = Bound::bind(&folder.join("control-1.sock")).unwrap();
    let path = bound.path().to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let (stop, stopped) = watch::channel(false);
    let serving = runtime.spawn(async move { bound.serve(hub(), stopped).await });
    let mut control = Control::connect(&path).unwrap();
    assert_eq!(control.ask(&Request::List {}).unwrap(), Answer::default());
    assert_eq!(control.ask(&Request::Message { id: None, text: "x".into() }).unwrap(), Answer::default());
    let refused = control.ask(&Request::Accept { id: 3 }).unwrap_err().to_string();
    assert!(refused.contains('3'), "{refused}");
    // those that say nothing take no place from those that do: it is given back in time
    let silent: Vec<_> = (0..4).map(|_| std::os::unix::net::UnixStream::connect(&path).unwrap()).collect();
    assert_eq!(Control::connect(&path).unwrap().ask(&Request::List {}).unwrap(), Answer::default());
    drop(silent);
    stop.send_replace(true);
    runtime.block_on(serving).unwrap();
    assert!(Control::connect(&path).is_err() && !path.exists());
    std::fs::remove_dir_all(folder).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn no_bytes_bring_it_down(bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'{'), Just(b'"'), any::<u8>()], 0..200)) {
        run(async {
            let hub = hub();
            let mut ours = served(Arc::clone(&hub), PATIENCE);
            ours.write_all(&bytes).await.unwrap();
            ours.shutdown().await.unwrap();
            let mut all = Vec::new();
            ours.read_to_end(&mut all).await.unwrap();
            assert_eq!(said(hub, b"{\"do\":\"list\"}\n").await, [Reply::Done(Done::default())]);
        });
    }
}
