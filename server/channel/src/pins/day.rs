//! A day of the calendar, without a clock.

use std::fmt;
use std::str::FromStr;

/// Days since 1 January 1970, up to the year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u32);

/// The last day of the year 9999.
const LAST: u32 = 2_932_896;

impl Day {
    /// The day of a time in seconds since 1970.
    pub fn of_unix_seconds(seconds: u64) -> Self {
        Self(u32::try_from(seconds / 86_400).unwrap_or(LAST).min(LAST))
    }

    /// Year, month and day of the month.
    // every value fits: 400 years are 146,097 days and `LAST` bounds the sum
    #[allow(clippy::arithmetic_side_effects)]
    fn civil(self) -> (u32, u32, u32) {
        // years that begin on 1 March, so that a leap day ends one; 719,468 days from 1 March of the year 0 to 1970
        let days = self.0 + 719_468;
        let (era, day) = (days / 146_097, days % 146_097);
        let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let date = day - (153 * month + 2) / 5 + 1;
        let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
        (era * 400 + year + later, month, date)
    }

    /// The day of a date; nothing when there is none.
    // as above: a year has four digits
    #[allow(clippy::arithmetic_side_effects)]
    fn of_civil(year: u32, month: u32, date: u32) -> Option<Self> {
        if !(1970..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&date) {
            return None;
        }
        let (year, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, in_era) = (year / 400, year % 400);
        let day = (153 * from_march + 2) / 5 + date - 1 + 365 * in_era + in_era / 4 - in_era / 100;
        let found = Self(era * 146_097 + day - 719_468);
        // the 31st of a short month comes back as another date
        (found.civil().2 == date).then_some(found)
    }
}

/// As in `2026-11-22`.
impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, date) = self.civil();
        write!(f, "{year:04}-{month:02}-{date:02}")
    }
}

impl FromStr for Day {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.split('-');
        let mut number = |digits: usize| {
            let part = parts.next().filter(|part| part.len() == digits && part.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|part| part.parse().ok()).ok_or(())
        };
        let (year, month, date) = (number(4)?, number(2)?, number(2)?);
        if parts.next().is_some() { Err(()) } else { Self::of_civil(year, month, date).ok_or(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_to_the_year_9999_reads_back_and_follows_the_last() {
        let mut before = String::new();
        for day in (0..=LAST).step_by(1) {
            // each day of four centuries, then every 97th
            if day > 146_097 && day % 97 != 0 {
                continue;
            }
            let text = Day(day).to_string();
            assert!(text > before, "{before} {text}");
            assert_eq!(text.parse(), Ok(Day(day)));
            before = text;
        }
    }

    #[test]
    fn known_days_have_their_dates() {
        for (seconds, text) in
            [(0, "1970-01-01"), (951_782_400, "2000-02-29"), (1_795_305_600, "2026-11-22"), (u64::MAX, "9999-12-31")]
        {
            assert_eq!(Day::of_unix_seconds(seconds).to_string(), text);
        }
    }

    #[test]
    fn dates_that_are_none_are_refused() {
        for bad in ["", "2026-11", "2026-11-31", "2025-02-29", "2100-02-29", "1969-12-31", "2026-13-01", "2026-1-01"] {
            assert_eq!(bad.parse::<Day>(), Err(()), "{bad}");
        }
        for bad in ["2026-11-22-1", "+026-11-22", "2026-00-01", "2026-01-00", "10000-01-01"] {
            assert_eq!(bad.parse::<Day>(), Err(()), "{bad}");
        }
    }
}
