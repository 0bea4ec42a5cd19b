//! Wall-clock time as RFC 3339 writes it.

use crate::auth::Moment;

const DAY: u64 = 24 * 3600;

/// Year, month and day of a day since 1970. SOURCE: the proleptic Gregorian calendar, counted in eras of 400 years from 1 March.
fn date(days: u64) -> (u64, u64, u64) {
    // days since 1 March of the year 0
    let days = days.saturating_add(719_468);
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

/// A moment in UTC, to the millisecond: `2026-11-22T07:30:00.125Z`.
pub fn utc(moment: Moment) -> String {
    let (secs, millis) = (moment.millis() / 1000, moment.millis() % 1000);
    let (year, month, day) = date(secs / DAY);
    let of_day = secs % DAY;
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        // checked against `date -u -d @N`
        for (secs, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_399, "2000-02-28T23:59:59.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (951_868_800, "2000-03-01T00:00:00.007Z"),
            (1_709_164_800, "2024-02-29T00:00:00.007Z"),
            (1_735_689_599, "2024-12-31T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
        ] {
            assert_eq!(utc(Moment::from_millis(secs * 1000 + 7)), text);
        }
        assert!(utc(Moment::from_millis(u64::MAX)).ends_with('Z'));
    }

    #[test]
    fn days_follow_each_other_without_gaps() {
        let mut last = date(0);
        for day in 1..200_000 {
            let (next, (year, month, of_month)) = (date(day), last);
            let follows = next == (year, month, of_month + 1)
                || (next == (year, month + 1, 1) && of_month >= 28)
                || (next == (year + 1, 1, 1) && (month, of_month) == (12, 31));
            assert!(follows, "{last:?} {next:?}");
            last = next;
        }
    }
}
