//! One client's task: socket, hub, pipelines and clock on one side, the [`Session`] on the other.

use std::future::pending;
use std::sync::Arc;
use std::time::Instant;

use bytes::{Buf, BytesMut};
use farpane_engine::geometry::Size;
use farpane_rfb::client_msg::{ClientMessage, ClientParser};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::Settings;
use super::hub::{Hub, Membership};
use super::log::{EndKind, Goodbye};
use super::stall::Stall;
use super::state::{Outcome, Session, SessionError};
use super::updates::JobDone;
use crate::backend::ResizeAnswer;
use crate::net::{Meter, Transport, TransportWriter};

/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Messages carried out before updates get their turn.
const BATCH: usize = 256;

/// Runs a client until it leaves.
pub(super) async fn run(
    transport: Transport,
    mut input: BytesMut,
    told: Size,
    mut membership: Membership,
    hub: Arc<Hub>,
    settings: Arc<Settings>,
) -> Result<(), SessionError> {
    let meter = transport.meter();
    let (mut reader, mut writer, _info) = transport.split();
    let bell = Arc::new(Notify::new());
    let notify: Arc<dyn Fn() + Send + Sync> = {
        let bell = Arc::clone(&bell);
        Arc::new(move || bell.notify_one())
    };
    let mut stall = Stall::new(settings.stall_limit);
    let mut session = Session::new(Arc::clone(&membership.entry), Arc::clone(&hub), settings, notify);
    session.was_told(told);
    let mut client =
        Client { session, parser: ClientParser::default(), held_back: None, resizing: None, encoding: None };

    let result = async {
        loop {
            let now = Instant::now();
            let more = client.messages(&mut input, now)?;
            client.start_resize(&hub);
            let asked = meter.as_ref().filter(|_| client.session.wants_count());
            client.session.count_below(asked.and_then(Meter::unacknowledged));
            client.pump(now)?;
            let held = || meter.as_ref().and_then(Meter::unacknowledged);
            if stall.is_over(client.session.outbox().waits(), now, held) {
                return Err(SessionError::Closed(Goodbye::new(EndKind::TooSlow, "took nothing of what it was sent")));
            }
            let wake_at = client.session.wake_at().into_iter().chain(stall.wake_at()).min();
            let reading = client.held_back.is_none();
            tokio::select! {
                biased;
                done = join(&mut client.encoding) => {
                    client.encoding = None;
                    client.session.job_done(done?, Instant::now());
                }
                sent = write_some(&mut writer, &mut client.session) => {
                    membership.entry.went(sent?);
                    stall.moved();
                }
                event = membership.events.recv() => match event {
                    Some(event) => client.session.on_hub(event, Instant::now())?,
                    None => return Err(SessionError::Closed(Goodbye::new(EndKind::ServerEnds, "server ends"))),
                },
                answer = join(&mut client.resizing) => {
                    client.resizing = None;
                    client.session.resized(answer?, Instant::now());
                }
                () = bell.notified() => {}
                () = std::future::ready(()), if more => {}
                read = read_some(&mut reader, &mut input), if reading && !more => {
                    match read? {
                        0 => return Ok(()),
                        n => membership.entry.came(n),
                    }
                }
                () = sleep_until(wake_at) => {}
            }
        }
    }
    .await;
    let _ = tokio::time::timeout(std::time::Duration::from_millis(100), writer.shutdown()).await;
    result
}

struct Client {
    session: Session,
    parser: ClientParser,
    /// A message that waits for the update being encoded.
    held_back: Option<ClientMessage>,
    resizing: Option<JoinHandle<ResizeAnswer>>,
    encoding: Option<JoinHandle<JobDone>>,
}

impl Client {
    /// Carries out messages that are complete; returns whether more may be there.
    fn messages(&mut self, input: &mut BytesMut, now: Instant) -> Result<bool, SessionError> {
        for _ in 0..BATCH {
            let message = match self.held_back.take() {
                Some(message) => message,
                None => {
                    let (extended_clipboard, extended_mouse_buttons) = self.session.parse_context();
                    self.parser.context.extended_clipboard = extended_clipboard;
                    self.parser.context.extended_mouse_buttons = extended_mouse_buttons;
                    let parsed = self.parser.parse(input)?;
                    input.advance(parsed.used);
                    match parsed.message {
                        Some(message) => message,
                        None if parsed.used == 0 || input.is_empty() => return Ok(false),
                        None => continue,
                    }
                }
            };
            if self.session.must_wait(&message) {
                self.held_back = Some(message);
                return Ok(false);
            }
            if let Outcome::Resize(layout) = self.session.on_message(message, now)? {
                self.session.wish(layout);
            }
        }
        Ok(true)
    }

    /// Asks the desktop for the next layout that the client wished for, one at a time.
    fn start_resize(&mut self, hub: &Arc<Hub>) {
        if self.resizing.is_some() {
            return;
        }
        if let Some(layout) = self.session.next_wish() {
            let (hub, id) = (Arc::clone(hub), self.session.id);
            self.resizing = Some(tokio::task::spawn_blocking(move || hub.resize(id, &layout)));
        }
    }

    fn pump(&mut self, now: Instant) -> Result<(), SessionError> {
        if let Some(job) = self.session.pump(now)? {
            self.encoding = Some(tokio::task::spawn_blocking(move || job.run(Instant::now())));
        }
        Ok(())
    }
}

async fn read_some(reader: &mut (impl AsyncReadExt + Unpin), input: &mut BytesMut) -> std::io::Result<usize> {
    input.reserve(READ_BYTES.min(4096));
    reader.read_buf(input).await
}

/// Writes some of what waits, and flushes once nothing does; never ends when both are done. Ending early loses nothing. Returns
/// how many bytes were written.
async fn write_some(writer: &mut TransportWriter, session: &mut Session) -> std::io::Result<usize> {
    let outbox = session.outbox();
    match outbox.front() {
        Some(front) => {
            let n = writer.write(front).await?;
            if n == 0 {
                return Err(std::io::ErrorKind::WriteZero.into());
            }
            outbox.written(n);
            Ok(n)
        }
        None if outbox.needs_flush() => {
            writer.flush().await?;
            outbox.flushed();
            Ok(0)
        }
        None => pending().await,
    }
}

async fn join<T>(task: &mut Option<JoinHandle<T>>) -> std::io::Result<T> {
    match task {
        Some(task) => task.await.map_err(std::io::Error::other),
        None => pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => pending().await,
    }
}
