//! What reads bytes from elsewhere, each as one function over a slice: for cargo fuzz, and for the ordinary test suite, which
//! runs them over transcripts and random changes of these.
//!
//! A target panics when an invariant breaks. None reads files, the clock or the environment.

pub mod channel;
pub mod rsa_aes;
pub mod strangers;
pub mod tls;

use farpane_engine::capture::replay::TraceReader;
use farpane_engine::capture::x11::auth;
use farpane_engine::geometry::Size;
use farpane_engine::pixel::ClientFormat;
use farpane_engine::refdec::Viewer;
use farpane_rfb::client_msg::ParseContext;
use farpane_rfb::ext::clipboard::ExtendedClipboard;
use farpane_rfb::handshake::{
    ClientEvent, ClientHandshake, SecurityType, ServerEvent, ServerHandshake, ServerInit, Step,
};
use farpane_rfb::{ClientMessage, ClientParser, PixelFormat, ServerMessage, Version, limits};
use farpane_server::backend::SourceSpec;
use farpane_server::config::Config;
use farpane_server::net::{ListenAddr, accept_websocket};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A target and its name.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 27] = [
    ("client_messages", client_messages),
    ("server_messages", server_messages),
    ("server_handshake", server_handshake),
    ("client_handshake", client_handshake),
    ("extended_clipboard", extended_clipboard),
    ("websocket", websocket),
    ("viewer", viewer),
    ("trace", trace),
    ("xauthority", xauthority),
    ("config", config),
    ("channel_server", channel::channel_server),
    ("channel_viewer", channel::channel_viewer),
    ("channel_records", channel::channel_records),
    ("channel_payloads", channel::channel_payloads),
    ("channel_pins", channel::channel_pins),
    ("vencrypt_server", tls::vencrypt_server),
    ("vencrypt_client", tls::vencrypt_client),
    ("client_certificate", tls::client_certificate),
    ("rsa_aes_server", rsa_aes::rsa_aes_server),
    ("rsa_aes_client", rsa_aes::rsa_aes_client),
    ("rsa_aes_stream", rsa_aes::rsa_aes_stream),
    ("proxy_v2", strangers::proxy_v2),
    ("penalties", strangers::penalties),
    ("ip_rules", strangers::ip_rules),
    ("audit_log", strangers::audit_log),
    ("user_file", strangers::user_file),
    ("policy_file", strangers::policy_file),
];

/// Messages of a client after the handshake. The first byte says what is negotiated and in which pieces the rest comes.
pub fn client_messages(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let context = ParseContext {
        extended_mouse_buttons: mode & 1 != 0,
        extended_clipboard: mode & 2 != 0,
        ..ParseContext::default()
    };
    let mut parser = ClientParser::new(context);
    let piece = 1 + usize::from(mode >> 2) * 97;
    let (mut start, mut end) = (0, 0);
    loop {
        let here = &stream[start..end];
        let Ok(parsed) = parser.parse(here) else { return };
        assert!(parsed.used <= here.len(), "{} of {} bytes used", parsed.used, here.len());
        start += parsed.used;
        match parsed.message {
            Some(message) => {
                assert!(parsed.used > 0, "a message of nothing: {message:?}");
                client_message_again(&message, context);
            }
            None if parsed.used > 0 => {}
            None if end == stream.len() => return,
            None => {
                assert!(here.len() < limits::CLIENT_MESSAGE, "{} bytes and still no message", here.len());
                end = stream.len().min(end + piece);
            }
        }
    }
}

/// What was parsed is written and parsed to the same. Text that was dropped is not there any more to be written.
fn client_message_again(message: &ClientMessage, context: ParseContext) {
    let lossy = match message {
        ClientMessage::CutTextDropped(_) | ClientMessage::Ignored(_) | ClientMessage::ExtendedClipboard(_) => true,
        ClientMessage::SetEncodings { encodings, listed } => encodings.len() != usize::from(*listed),
        _ => false,
    };
    if lossy {
        return;
    }
    let mut bytes = Vec::new();
    message.write(context.extended_mouse_buttons, &mut bytes);
    let again = ClientParser::new(context).parse(&bytes).map(|parsed| (parsed.used, parsed.message));
    assert_eq!(again.as_ref().ok(), Some(&(bytes.len(), Some(message.clone()))), "{bytes:?}");
}

/// Messages of a server, one after the other.
pub fn server_messages(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((message, used))) = ServerMessage::parse(rest) {
        assert!((1..=rest.len()).contains(&used), "{used} of {} bytes used by {message:?}", rest.len());
        rest = &rest[used..];
    }
}

/// The bytes of a handshake's peer, which come in pieces; what was not used is offered again.
struct Arriving<'a> {
    stream: &'a [u8],
    piece: usize,
    start: usize,
    end: usize,
    idle: u32,
}

impl<'a> Arriving<'a> {
    fn new(stream: &'a [u8], piece: usize) -> Self {
        Self { stream, piece, start: 0, end: 0, idle: 0 }
    }

    /// What has come and was not used.
    fn here(&self) -> &'a [u8] {
        &self.stream[self.start..self.end]
    }

    /// Takes away what a step used and lets the next piece come when it waits; false when nothing will come any more.
    fn after<E>(&mut self, step: &Step<E>) -> bool {
        let here = self.end - self.start;
        assert!(step.used <= here, "{} of {here} bytes used", step.used);
        self.start += step.used;
        if step.is_idle() {
            if self.end == self.stream.len() {
                return false;
            }
            self.end = self.stream.len().min(self.end + self.piece);
            self.idle = 0;
        }
        self.idle = if step.used == 0 && step.event.is_none() { self.idle + 1 } else { 0 };
        assert!(self.idle < 600, "no progress");
        true
    }
}

/// A client's bytes during the handshake. The first byte says what is offered and how its password is judged.
pub fn server_handshake(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let offers: [&[SecurityType]; 4] = [
        &[SecurityType::NONE],
        &[SecurityType::VNC_AUTH],
        &[SecurityType::VENCRYPT, SecurityType::VNC_AUTH, SecurityType::NONE],
        &[],
    ];
    let mut server = ServerHandshake::new(offers[usize::from(mode & 3)]);
    let good = mode & 4 != 0;
    let piece = 1 + usize::from(mode >> 3);
    let init = ServerInit { width: 64, height: 48, pixel_format: PixelFormat::BGRX, name: "fuzz".into() };
    let mut arriving = Arriving::new(stream, piece);
    loop {
        let Ok(step) = server.advance(arriving.here()) else { return };
        if !arriving.after(&step) {
            return;
        }
        let answer = match step.event {
            Some(ServerEvent::SecurityChosen(SecurityType::NONE)) => server.accept(),
            Some(ServerEvent::SecurityChosen(SecurityType::VNC_AUTH)) => server.challenge([7; 16]),
            Some(ServerEvent::SecurityChosen(_)) => return,
            Some(ServerEvent::VncAuthResponse(_)) if good => server.accept(),
            Some(ServerEvent::VncAuthResponse(_)) => {
                assert!(server.reject("no").is_ok(), "a wrong password can be refused");
                return;
            }
            Some(ServerEvent::ClientInit { .. }) => {
                assert!(server.server_init(&init).is_ok() && server.is_done());
                return;
            }
            Some(ServerEvent::Refused(_)) => return,
            Some(ServerEvent::Version { .. }) | None => continue,
        };
        assert!(answer.is_ok(), "an event that cannot be answered: {answer:?}");
    }
}

/// A server's bytes during the handshake. The first byte says in which pieces they come.
pub fn client_handshake(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let piece = 1 + usize::from(mode);
    let mut client = ClientHandshake::new(Version::V3_8, mode & 1 != 0);
    let mut arriving = Arriving::new(stream, piece);
    while !client.is_done() {
        let Ok(step) = client.advance(arriving.here()) else { return };
        if !arriving.after(&step) {
            return;
        }
        client_event(&mut client, step.event);
    }
}

fn client_event(client: &mut ClientHandshake, event: Option<ClientEvent>) {
    let answered = match event {
        Some(ClientEvent::Offer(kinds)) => kinds.first().map(|kind| client.choose(*kind).map(drop)),
        Some(ClientEvent::VncAuthChallenge(_)) => Some(client.respond([1; 16]).map(drop)),
        Some(ClientEvent::SecurityChosen(kind)) if !matches!(kind, SecurityType::NONE | SecurityType::VNC_AUTH) => {
            Some(client.security_done())
        }
        _ => None,
    };
    assert!(answered.is_none_or(|answer| answer.is_ok()), "an event that cannot be answered");
}

/// One extended clipboard body.
pub fn extended_clipboard(data: &[u8]) {
    let Ok(message) = ExtendedClipboard::parse(data, 1 << 16) else { return };
    let mut bytes = Vec::new();
    message.write(&mut bytes);
    let again = ExtendedClipboard::parse(&bytes, 1 << 16);
    assert!(again.is_ok(), "{message:?} is written as {bytes:?}: {again:?}");
}

/// A WebSocket peer's bytes, from its HTTP request on.
pub fn websocket(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let got = runtime.block_on(async {
        let (ours, mut theirs) = tokio::io::duplex(1 << 20);
        let sent = &data[..data.len().min(1 << 20)];
        theirs.write_all(sent).await.expect("room for all");
        theirs.shutdown().await.expect("an end");
        let Ok(mut stream) = accept_websocket(ours, &[]).await else { return 0 };
        let (mut block, mut got) = ([0; 4096], 0);
        while let Ok(n @ 1..) = stream.read(&mut block).await {
            got += n;
        }
        got
    });
    assert!(got <= data.len(), "{got} bytes out of {}", data.len());
}

/// A server's stream after ServerInit, into the reference decoder. The first byte says the format and the pieces.
pub fn viewer(data: &[u8]) {
    let Some((&mode, stream)) = data.split_first() else { return };
    let rgb565 = ClientFormat {
        bpp: 16,
        depth: 16,
        r_max: 31,
        g_max: 63,
        b_max: 31,
        r_shift: 11,
        g_shift: 5,
        b_shift: 0,
        ..ClientFormat::BGRX
    };
    let formats = [ClientFormat::BGRX, rgb565, ClientFormat { big_endian: true, ..rgb565 }, ClientFormat::COLOUR_MAP];
    let format = formats[usize::from(mode & 3)];
    let Ok(mut viewer) = Viewer::new(format, Size::new(200, 136)) else { panic!("a good format") };
    for piece in stream.chunks(1 + usize::from(mode >> 2) * 61) {
        if viewer.feed(piece).is_err() {
            assert!(viewer.feed(&[]).is_err(), "a fault is forgotten");
            return;
        }
    }
    let size = viewer.decoder().size();
    assert_eq!(viewer.decoder().pixels().len() as u64, size.area());
}

/// A recorded trace.
pub fn trace(data: &[u8]) {
    let Ok(mut reader) = TraceReader::new(data) else { return };
    let (mut last, mut records) = (0, 0usize);
    while let Ok(Some(record)) = reader.next_record() {
        assert!(record.time_us >= last, "time goes back");
        last = record.time_us;
        records += 1;
        assert!(records <= data.len(), "more records than bytes");
    }
    assert!(!matches!(reader.next_record(), Ok(Some(_))), "a record after the end");
}

/// An X authority file.
pub fn xauthority(data: &[u8]) {
    for display in [0, 1, 65_535] {
        if let Some(cookie) = auth::cookie(data, &auth::Peer::local("here"), display) {
            let inside = cookie.is_empty() || data.windows(cookie.len()).any(|w| w == cookie);
            assert!(inside, "a cookie that is not in the file");
        }
    }
}

/// A configuration file, an address to listen on and a source, each as the whole text.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(address) = text.parse::<ListenAddr>() {
        assert_eq!(address.to_string().parse().ok(), Some(address.clone()), "{address}");
    }
    if let Ok(source) = text.parse::<SourceSpec>() {
        assert_eq!(source.to_string().parse().ok(), Some(source.clone()), "{source}");
    }
    let Ok(config) = Config::parse(text, None) else { return };
    let Ok(print) = config.print() else { return };
    let again = Config::parse(&print, None);
    assert_eq!(again.as_ref().ok(), Some(&config), "prints as {print:?}: {:?}", again.as_ref().err());
    if let Ok(effective) = config.with(Default::default()) {
        let _ = effective.check();
    }
}
