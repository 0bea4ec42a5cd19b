//! A link of limited rate and with delay between viewer and server, in user space: the kernel may have no netem.
//!
//! [`Shaper`] is the link in one direction as a pure function of time; [`Proxy`] puts two of them between two sockets.

use anyhow::Context;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, ipproto, socket_with, sockopt};
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What a link is like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Link {
    /// Bits a second in each direction.
    pub bits_per_s: f64,
    /// Time there and back, half of it in each direction.
    pub rtt: Duration,
    /// Bytes that wait before the link at most; then the sender has to wait.
    pub queue: usize,
}

impl Link {
    /// A link whose queue holds a tenth of a second, as a decent router's does.
    pub fn new(mbit: f64, rtt_ms: u64) -> Self {
        let bits_per_s = mbit * 1e6;
        Self { bits_per_s, rtt: Duration::from_millis(rtt_ms), queue: (bits_per_s / 8.0 / 10.0) as usize }
    }
}

/// Largest piece that takes its turn on the link.
const PIECE: usize = 1448;
/// What may wait in the kernel before it is on the link, in bytes: little, for a sender's own count of bytes under way
/// ends there. It is set before a connection is made: a window that shrinks afterwards stalls the sender.
const WAITING: usize = 4 << 10;

/// One direction.
#[derive(Debug)]
pub struct Shaper {
    link: Link,
    /// Pieces under way: when each is out at the far end.
    under_way: VecDeque<(Duration, Vec<u8>)>,
    /// When the link has sent all it was given.
    free_at: Duration,
}

impl Shaper {
    /// An empty link.
    pub fn new(link: Link) -> Self {
        Self { link, under_way: VecDeque::new(), free_at: Duration::ZERO }
    }

    /// Bytes that may be offered at this time.
    pub fn room(&self, now: Duration) -> usize {
        let waiting = self.free_at.saturating_sub(now).as_secs_f64() * self.link.bits_per_s / 8.0;
        self.link.queue.saturating_sub(waiting as usize)
    }

    /// Puts bytes on the link.
    pub fn offer(&mut self, now: Duration, bytes: &[u8]) {
        for piece in bytes.chunks(PIECE) {
            let takes = Duration::from_secs_f64(piece.len() as f64 * 8.0 / self.link.bits_per_s);
            self.free_at = self.free_at.max(now) + takes;
            self.under_way.push_back((self.free_at + self.link.rtt / 2, piece.to_vec()));
        }
    }

    /// The next bytes that are out by now.
    pub fn out(&mut self, now: Duration) -> Option<Vec<u8>> {
        if self.under_way.front()?.0 > now {
            return None;
        }
        self.under_way.pop_front().map(|(_, bytes)| bytes)
    }

    /// When the next bytes will be out.
    pub fn next_out(&self) -> Option<Duration> {
        self.under_way.front().map(|(at, _)| *at)
    }
}

#[derive(Debug)]
struct Lane {
    shaper: Mutex<Shaper>,
    moved: Condvar,
    began: Instant,
    closed: AtomicBool,
    carried: Arc<AtomicU64>,
}

impl Lane {
    /// Takes bytes from a socket as the link has room.
    fn take_in(&self, mut from: TcpStream) {
        let mut piece = vec![0; 16 << 10];
        loop {
            let room = {
                let mut shaper = self.shaper.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    let room = shaper.room(self.began.elapsed());
                    if room >= PIECE.min(shaper.link.queue) || self.closed.load(Ordering::SeqCst) {
                        break room;
                    }
                    shaper = self
                        .moved
                        .wait_timeout(shaper, Duration::from_millis(2))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
            };
            if self.closed.load(Ordering::SeqCst) {
                return;
            }
            let most = room.clamp(1, piece.len());
            match from.read(&mut piece[..most]) {
                Ok(0) => break,
                Ok(count) => {
                    let mut shaper = self.shaper.lock().unwrap_or_else(PoisonError::into_inner);
                    shaper.offer(self.began.elapsed(), &piece[..count]);
                    self.moved.notify_all();
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.closed.store(true, Ordering::SeqCst);
        self.moved.notify_all();
    }

    /// Gives bytes to a socket as they are due.
    fn give_out(&self, mut to: TcpStream) {
        loop {
            let bytes = {
                let mut shaper = self.shaper.lock().unwrap_or_else(PoisonError::into_inner);
                loop {
                    let now = self.began.elapsed();
                    if let Some(bytes) = shaper.out(now) {
                        break bytes;
                    }
                    if self.closed.load(Ordering::SeqCst) && shaper.next_out().is_none() {
                        // the far side learns that the near one has ended; it may know already
                        let _ = to.shutdown(std::net::Shutdown::Both);
                        return;
                    }
                    let wait = shaper.next_out().map_or(Duration::from_millis(20), |at| at.saturating_sub(now));
                    shaper = self
                        .moved
                        .wait_timeout(shaper, wait.max(Duration::from_micros(50)))
                        .unwrap_or_else(PoisonError::into_inner)
                        .0;
                }
            };
            self.carried.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            if to.write_all(&bytes).is_err() {
                self.closed.store(true, Ordering::SeqCst);
                return;
            }
        }
    }
}

/// A link between a port of ours and a server's; one viewer.
#[derive(Debug)]
pub struct Proxy {
    /// Where the viewer connects.
    pub port: u16,
    /// Bytes that have come out at the viewer's end.
    pub carried: Arc<AtomicU64>,
    /// The sockets that are joined.
    joined: Arc<Mutex<Vec<TcpStream>>>,
    thread: Option<JoinHandle<()>>,
}

impl Proxy {
    /// Listens on loopback and joins the first viewer with the server.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(server: u16, link: Link) -> anyhow::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        // the viewer's connection inherits it
        sockopt::set_socket_recv_buffer_size(&listener, WAITING)?;
        let port = listener.local_addr()?.port();
        let (carried, joined) = (Arc::new(AtomicU64::new(0)), Arc::default());
        let thread = std::thread::Builder::new().name("link".into()).spawn({
            let (carried, joined) = (Arc::clone(&carried), Arc::clone(&joined));
            move || {
                // a viewer or server that is gone ends the link, and whoever measures says so
                let _ = join(&listener, server, link, carried, &joined);
            }
        })?;
        Ok(Self { port, carried, joined, thread: Some(thread) })
    }
}

fn join(
    listener: &TcpListener,
    server: u16,
    link: Link,
    carried: Arc<AtomicU64>,
    joined: &Mutex<Vec<TcpStream>>,
) -> anyhow::Result<()> {
    let near = listener.accept()?.0;
    let far = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, Some(ipproto::TCP))?;
    sockopt::set_socket_recv_buffer_size(&far, WAITING)?;
    connect(&far, &SocketAddrV4::new(Ipv4Addr::LOCALHOST, server)).context("the link to the server")?;
    let far = TcpStream::from(far);
    joined.lock().unwrap_or_else(PoisonError::into_inner).extend([near.try_clone()?, far.try_clone()?]);
    for socket in [&near, &far] {
        socket.set_nodelay(true)?;
    }
    let began = Instant::now();
    let lane = |carried| {
        Arc::new(Lane {
            shaper: Mutex::new(Shaper::new(link)),
            moved: Condvar::new(),
            began,
            closed: AtomicBool::new(false),
            carried,
        })
    };
    let (down, up) = (lane(carried), lane(Arc::default()));
    std::thread::scope(|s| -> anyhow::Result<()> {
        for (lane, from, to) in [(&down, &far, &near), (&up, &near, &far)] {
            let (from, to) = (from.try_clone()?, to.try_clone()?);
            s.spawn(move || lane.take_in(from));
            s.spawn(move || lane.give_out(to));
        }
        Ok(())
    })
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // wakes the listener, if nobody ever came
        drop(TcpStream::connect(("127.0.0.1", self.port)));
        // ends all four threads, though viewer and server may hold on to their ends
        for socket in self.joined.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            // a writer that waits for room hears of a reset at once, of an ordinary end after minutes
            let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends as fast as the link takes, for ten seconds of virtual time; bytes out at the far end.
    fn saturate(link: Link, chunk: usize) -> f64 {
        let (mut shaper, mut got) = (Shaper::new(link), 0);
        for ms in 0..10_000_u64 {
            let now = Duration::from_millis(ms);
            while shaper.room(now) >= chunk {
                shaper.offer(now, &vec![0; chunk]);
            }
            while let Some(bytes) = shaper.out(now) {
                got += bytes.len();
            }
        }
        got as f64
    }

    #[test]
    fn rates_are_kept_within_five_percent() {
        for mbit in [2.0, 20.0] {
            for chunk in [100, 1448, 9000] {
                let link = Link::new(mbit, 40);
                let want = mbit * 1e6 / 8.0 * (10.0 - 0.02);
                let got = saturate(link, chunk);
                assert!((got / want - 1.0).abs() < 0.05, "{mbit} Mbit/s in pieces of {chunk}: {got} of {want} bytes");
            }
        }
    }

    #[test]
    fn delay_is_half_there_and_half_back() {
        let link = Link::new(20.0, 40);
        let (mut down, mut up) = (Shaper::new(link), Shaper::new(link));
        let sent = Duration::from_millis(5);
        for shaper in [&mut down, &mut up] {
            shaper.offer(sent, &[1; 10]);
            assert!(shaper.out(sent + Duration::from_millis(20)).is_none());
            assert_eq!(shaper.out(sent + Duration::from_micros(20_005)), Some(vec![1; 10]));
        }
        assert_eq!(down.next_out(), up.next_out());
    }

    #[test]
    fn the_queue_is_bounded_and_order_is_kept() {
        let link = Link::new(2.0, 0);
        let mut shaper = Shaper::new(link);
        let mut offered = 0;
        while shaper.room(Duration::ZERO) >= 1000 {
            shaper.offer(Duration::ZERO, &[(offered / 1000) as u8; 1000]);
            offered += 1000;
        }
        assert!(offered <= link.queue && offered + 1000 > link.queue - 1000, "{offered} of {}", link.queue);
        let late = Duration::from_secs(9);
        let all: Vec<u8> = std::iter::from_fn(|| shaper.out(late)).flatten().collect();
        assert_eq!(all.len(), offered);
        assert!(all.is_sorted());
    }

    #[test]
    fn bytes_cross_the_proxy_unharmed_both_ways() {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = server.local_addr().expect("its address").port();
        let echo = std::thread::spawn(move || {
            let (mut peer, _) = server.accept().expect("the link");
            let mut bytes = vec![0; 50_000];
            peer.read_exact(&mut bytes).expect("all bytes");
            peer.write_all(&bytes).expect("and back");
        });
        let proxy = Proxy::start(port, Link::new(200.0, 2)).expect("a proxy");
        let mut viewer = TcpStream::connect(("127.0.0.1", proxy.port)).expect("the proxy");
        let sent: Vec<u8> = (0..50_000_u32).map(|i| (i * 7 + i / 251) as u8).collect();
        viewer.write_all(&sent).expect("a write");
        let mut got = vec![0; sent.len()];
        viewer.read_exact(&mut got).expect("an answer");
        assert!(got == sent, "bytes were changed on the way");
        assert_eq!(proxy.carried.load(Ordering::SeqCst), 50_000);
        echo.join().expect("the echo");
        drop(viewer);
    }

    /// Mbit/s that a server which never stops writing gets through real sockets in a second and a half.
    fn carried_by_sockets(link: Link) -> f64 {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let proxy = Proxy::start(server.local_addr().expect("its address").port(), link).expect("a proxy");
        let began = Instant::now();
        let mut viewer = TcpStream::connect(("127.0.0.1", proxy.port)).expect("the proxy");
        let (mut peer, _) = server.accept().expect("the link");
        let writer = std::thread::spawn(move || while peer.write_all(&[7; 60_000]).is_ok() {});
        let mut bytes = vec![0; 64 << 10];
        let mut got = 0;
        while began.elapsed() < Duration::from_millis(1500) {
            got += viewer.read(&mut bytes).expect("more");
        }
        let mbit = got as f64 * 8.0 / began.elapsed().as_secs_f64() / 1e6;
        drop(proxy);
        writer.join().expect("the server ends with the link");
        mbit
    }

    #[test]
    fn a_writer_that_never_stops_fills_the_link_and_no_more() {
        for mbit in [2.0, 20.0] {
            let got = carried_by_sockets(Link::new(mbit, 40));
            // a stalled window carries a third and less
            assert!(got > 0.6 * mbit && got <= mbit, "{got} of {mbit} Mbit/s");
        }
    }

    #[test]
    fn a_link_that_is_dropped_ends_for_both_though_neither_has_left() {
        let server = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let proxy = Proxy::start(server.local_addr().expect("its address").port(), Link::new(2.0, 2)).expect("a proxy");
        let mut viewer = TcpStream::connect(("127.0.0.1", proxy.port)).expect("the proxy");
        let (mut peer, _) = server.accept().expect("the link");
        peer.write_all(b"there").expect("a write");
        viewer.read_exact(&mut [0; 5]).expect("what was sent");
        drop(proxy);
        assert!(matches!(viewer.read(&mut [0]), Ok(0) | Err(_)));
        assert!(matches!(peer.read(&mut [0]), Ok(0) | Err(_)));
    }
}
