//! The state of a [`Throttle`] as text, one entry a line, between a line with the version and one with the number of entries.
//!
//! Entries stand in the order in which they were touched, the oldest first of each family, so that reading them back keeps who goes first.

use std::fmt::Write;

use super::score::{Rule, Score};
use super::source::{site, site_text};
use super::{KnownUser, Name, Source, Throttle, device, pair_rule};
use crate::auth::Moment;
use crate::auth::login::MAX_NAME;

/// Longest file.
pub const MAX_FILE: u64 = 96 << 20;
const HEAD: &str = "farpane penalties 1";

/// Why a text is no state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// It is of another kind or version.
    #[error("line 1 (expected {HEAD:?})")]
    Head,
    /// A line cannot be read.
    #[error("line {0} cannot be read")]
    Line(usize),
    /// Lines are missing, or there are more than were written.
    #[error("{0} lines (expected {1})")]
    Count(usize, usize),
    /// The last line is missing.
    #[error("the end is missing")]
    Cut,
}

fn hex(bytes: &[u8], out: &mut String) {
    for byte in bytes {
        let _ = write!(out, "{byte:02x}");
    }
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text.chars().map(|c| c.to_digit(16).and_then(|d| u8::try_from(d).ok())).collect();
    let (pairs, []) = digits.as_deref()?.as_chunks::<2>() else { return None };
    Some(pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

fn unhex16(text: &str) -> Option<Name> {
    unhex(text)?.try_into().ok()
}

/// The state as text.
pub fn write(throttle: &Throttle) -> String {
    let mut out = String::new();
    let mut lines = 0usize;
    let mut line = |parts: &[&dyn std::fmt::Display]| {
        for (n, part) in parts.iter().enumerate() {
            let _ = write!(out, "{}{part}", if n == 0 { "" } else { " " });
        }
        out.push('\n');
        lines = lines.saturating_add(1);
    };
    let text = |bytes: &[u8]| {
        let mut text = String::with_capacity(bytes.len().saturating_mul(2));
        hex(bytes, &mut text);
        text
    };
    line(&[&HEAD]);
    line(&[&"key", &text(&throttle.key)]);
    for (ip, score) in throttle.v4.iter() {
        line(&[&"v4", ip, &score.count, &score.last.millis()]);
    }
    for (net, score) in throttle.v6.iter() {
        line(&[&"v6", &Source::V6(*net), &score.count, &score.last.millis()]);
    }
    for (net, score) in throttle.sites.iter() {
        line(&[&"site", &site_text(*net), &score.count, &score.last.millis()]);
    }
    for ((name, source), score) in throttle.pairs.iter() {
        line(&[&"pair", &text(name), source, &score.count, &score.last.millis()]);
    }
    for (name, score) in throttle.users.iter() {
        line(&[&"user", &text(name), &score.count, &score.last.millis()]);
    }
    for (device, score) in throttle.devices.iter() {
        line(&[&"device", device, &score.count, &score.last.millis()]);
    }
    for ((_, source), known) in throttle.known_users.iter() {
        // a name may be empty: the mark keeps the field there
        line(&[&"known-user", source, &known.last.millis(), &format!("={}", text(known.name.as_bytes()))]);
    }
    for (device, last) in throttle.known_devices.iter() {
        line(&[&"known-device", device, &last.millis()]);
    }
    line(&[&"end"]);
    let count = lines.to_string();
    out.truncate(out.trim_end().len());
    out.push(' ');
    out.push_str(&count);
    out.push('\n');
    out
}

/// Reads a state. Whatever it says of times that lie ahead counts from now.
///
/// # Errors
/// When anything in it is not as [`write()`] writes it.
pub fn read(text: &str, now: Moment) -> Result<Throttle, StoreError> {
    let mut lines = text.split_inclusive('\n').enumerate().map(|(n, line)| (n.saturating_add(1), line));
    let head = lines.next().and_then(|(_, line)| line.strip_suffix('\n'));
    if head != Some(HEAD) {
        return Err(StoreError::Head);
    }
    let key = lines.next().and_then(|(_, line)| unhex16(line.strip_suffix('\n')?.strip_prefix("key ")?));
    let mut throttle = Throttle::new(key.ok_or(StoreError::Line(2))?);
    for (number, line) in lines.by_ref() {
        let line = line.strip_suffix('\n').ok_or(StoreError::Cut)?;
        if let Some(count) = line.strip_prefix("end ") {
            let said = count.parse().map_err(|_| StoreError::Line(number))?;
            let there = if lines.next().is_some() { number.saturating_add(1) } else { number };
            return if said == there { Ok(throttle) } else { Err(StoreError::Count(there, said)) };
        }
        throttle.entry(line, now).ok_or(StoreError::Line(number))?;
    }
    Err(StoreError::Cut)
}

fn moment(text: &str, now: Moment) -> Option<Moment> {
    Some(Moment::from_millis(text.parse().ok()?).min(now))
}

fn score(count: &str, last: &str, rule: Rule, now: Moment) -> Option<Score> {
    let count: u32 = count.parse().ok()?;
    (count <= rule.most()).then_some(())?;
    Some(Score { count, last: moment(last, now)? })
}

impl Throttle {
    /// Takes one line over; none if it cannot be read.
    fn entry(&mut self, line: &str, now: Moment) -> Option<()> {
        let parts: Vec<&str> = line.splitn(6, ' ').collect();
        match parts.as_slice() {
            ["v4", ip, count, last] => {
                let score = score(count, last, Rule::PLAIN, now)?;
                self.v4.touch(ip.parse().ok()?, || score);
            }
            ["v6", net, count, last] => {
                let score = score(count, last, Rule::PLAIN, now)?;
                let Source::V6(net) = net.parse().ok()? else { return None };
                self.v6.touch(net, || score);
            }
            ["site", net, count, last] => {
                let score = score(count, last, Rule::SITE, now)?;
                self.sites.touch(site(net)?, || score);
            }
            ["pair", name, source, count, last] => {
                let source = source.parse().ok()?;
                let score = score(count, last, pair_rule(source), now)?;
                self.pairs.touch((unhex16(name)?, source), || score);
            }
            ["user", name, count, last] => {
                let score = score(count, last, Rule::PLAIN, now)?;
                self.users.touch(unhex16(name)?, || score);
            }
            ["device", name, count, last] => {
                let score = score(count, last, Rule::PLAIN, now)?;
                self.devices.touch(device(name)?, || score);
            }
            ["known-user", source, last, name] => {
                let name = String::from_utf8(unhex(name.strip_prefix('=')?)?).ok()?;
                (name.len() <= MAX_NAME).then_some(())?;
                let (source, last): (Source, Moment) = (source.parse().ok()?, moment(last, now)?);
                let key = (self.name(&name), source);
                self.known_users.touch(key, || KnownUser { name, last });
                let network = self.known_networks.touch(source, || last);
                *network = (*network).max(last);
            }
            ["known-device", name, last] => {
                let last = moment(last, now)?;
                self.known_devices.touch(device(name)?, || last);
            }
            _ => return None,
        }
        Some(())
    }
}
