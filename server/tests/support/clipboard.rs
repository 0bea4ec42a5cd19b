//! The extended clipboard from the client's side: capabilities, notify, request, provide.

use farpane_engine::refdec;

const TEXT: u32 = 1;
const CAPS: u32 = 1 << 24;
const REQUEST: u32 = 1 << 25;
const PEEK: u32 = 1 << 26;
const NOTIFY: u32 = 1 << 27;
const PROVIDE: u32 = 1 << 28;
/// Most text taken, inflated.
const MAX_TEXT: usize = 4 << 20;

/// Texts sent and received through both kinds of clipboard.
#[derive(Debug, Default)]
pub struct Clipboard {
    /// What this client offers.
    offered: Option<String>,
    /// Whether the server told its capabilities.
    pub extended: bool,
    /// Latin-1 texts received, oldest first.
    pub plain: Vec<String>,
    /// UTF-8 texts received through the extension, oldest first.
    pub texts: Vec<String>,
    /// How often the server asked for a text.
    pub requests: usize,
}

impl Clipboard {
    /// Takes a Latin-1 text.
    pub(crate) fn take_plain(&mut self, bytes: &[u8]) {
        self.plain.push(bytes.iter().map(|&b| char::from(b)).collect());
    }

    /// Takes an extended message and returns the message to answer with, if any.
    pub(crate) fn take_extended(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, refdec::DecodeError> {
        let (flags, body) = bytes.split_first_chunk::<4>().ok_or(refdec::DecodeError::Rule("no clipboard flags"))?;
        let flags = u32::from_be_bytes(*flags);
        if flags & CAPS != 0 {
            self.extended = true;
            let all = CAPS | REQUEST | PEEK | NOTIFY | PROVIDE | TEXT;
            return Ok(Some(message(all, &(MAX_TEXT as u32).to_be_bytes())));
        }
        match flags & (REQUEST | PEEK | NOTIFY | PROVIDE) {
            REQUEST => {
                self.requests += 1;
                Ok(self.offered.as_deref().filter(|_| flags & TEXT != 0).map(provide))
            }
            PEEK => Ok(Some(message(NOTIFY | if self.offered.is_some() { TEXT } else { 0 }, &[]))),
            NOTIFY => Ok((flags & TEXT != 0).then(|| message(REQUEST | TEXT, &[]))),
            PROVIDE => {
                if flags & TEXT != 0 {
                    self.texts.push(text_of(body)?);
                }
                Ok(None)
            }
            _ => Err(refdec::DecodeError::Rule("a clipboard message that is not exactly one action")),
        }
    }

    /// Offers a text from now on; returns the message that says so.
    pub(crate) fn offer(&mut self, text: &str) -> Vec<u8> {
        self.offered = Some(text.to_owned());
        message(NOTIFY | TEXT, &[])
    }
}

fn message(flags: u32, body: &[u8]) -> Vec<u8> {
    let len = -(4 + body.len() as i32);
    [&[6, 0, 0, 0][..], &len.to_be_bytes(), &flags.to_be_bytes(), body].concat()
}

fn provide(text: &str) -> Vec<u8> {
    let mut data = text.replace('\n', "\r\n").into_bytes();
    data.push(0);
    let plain = [&(data.len() as u32).to_be_bytes()[..], &data].concat();
    message(PROVIDE | TEXT, &stored(&plain))
}

fn text_of(body: &[u8]) -> Result<String, refdec::DecodeError> {
    let fault = refdec::DecodeError::Rule;
    let plain = refdec::inflate_message(body, MAX_TEXT)?;
    let (len, text) = plain.split_first_chunk::<4>().ok_or(fault("a clipboard text without its size"))?;
    if u32::from_be_bytes(*len) as usize != text.len() {
        return Err(fault("a clipboard text of another size than it says"));
    }
    let text = text.strip_suffix(&[0]).ok_or(fault("a clipboard text without its final zero"))?;
    let text = std::str::from_utf8(text).map_err(|_| fault("a clipboard text that is not UTF-8"))?;
    Ok(text.replace("\r\n", "\n"))
}

/// A finished zlib stream of stored blocks.
fn stored(plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut blocks = plain.chunks(65_535).peekable();
    while let Some(block) = blocks.next() {
        let len = block.len() as u16;
        out.push(blocks.peek().is_none().into());
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in plain {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend((b << 16 | a).to_be_bytes());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provided_text_reads_back() {
        for text in ["", "plain", "zwei\nZeilen äöü € \u{1f600}", &"long ".repeat(30_000)] {
            let message = provide(text);
            assert_eq!(text_of(&message[12..]).as_deref(), Ok(text));
        }
    }

    #[test]
    fn a_wrong_checksum_or_size_is_noticed() {
        let mut message = provide("text");
        *message.last_mut().expect("bytes") ^= 1;
        assert!(text_of(&message[12..]).is_err());
        let mut message = provide("text");
        message[12 + 2 + 5 + 3] ^= 1;
        assert!(text_of(&message[12..]).is_err());
    }
}
