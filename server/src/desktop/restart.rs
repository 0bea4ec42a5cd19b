//! Whether a program that ended is started again: pure, time is an argument.

use std::time::Duration;

/// One that ended sooner than this did not come up.
const QUICK: Duration = Duration::from_secs(5);
/// So many in a row that did not come up are enough.
const MOST_QUICK: u32 = 3;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MOST_DELAY: Duration = Duration::from_secs(30);

/// When a program is started again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Restart {
    /// Never: the desktop ends with it.
    Never,
    /// When it failed; the desktop ends when it ended well.
    #[default]
    OnFailure,
    /// Always.
    Always,
}

/// What becomes of a desktop whose program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It ends too, as it should.
    End,
    /// The program starts again after this long.
    Again(Duration),
    /// It ends: the program does not come up.
    GiveUp,
}

/// How a program has done so far.
#[derive(Debug)]
pub(super) struct History {
    restart: Restart,
    /// Ends in a row that came too soon.
    quick: u32,
}

impl History {
    pub fn new(restart: Restart) -> Self {
        Self { restart, quick: 0 }
    }

    /// It ended, well or not, after this long.
    pub fn ended(&mut self, well: bool, ran: Duration) -> Next {
        match self.restart {
            Restart::OnFailure if well => return Next::End,
            Restart::Never => return if well { Next::End } else { Next::GiveUp },
            Restart::OnFailure | Restart::Always => {}
        }
        self.quick = if ran < QUICK { self.quick + 1 } else { 0 };
        if self.quick >= MOST_QUICK {
            return Next::GiveUp;
        }
        Next::Again((FIRST_DELAY * (1 << self.quick.saturating_sub(1).min(5))).min(MOST_DELAY))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);
    const SHORT: Duration = Duration::from_millis(20);

    #[test]
    fn what_ends_at_once_is_no_storm() {
        for restart in [Restart::OnFailure, Restart::Always] {
            let mut history = History::new(restart);
            assert_eq!(history.ended(false, SHORT), Next::Again(FIRST_DELAY));
            assert_eq!(history.ended(false, SHORT), Next::Again(FIRST_DELAY * 2));
            assert_eq!(history.ended(false, SHORT), Next::GiveUp);
        }
    }

    #[test]
    fn what_came_up_is_started_again_for_ever() {
        let mut history = History::new(Restart::Always);
        for well in [true, false].into_iter().cycle().take(40) {
            assert_eq!(history.ended(well, LONG), Next::Again(FIRST_DELAY));
            assert_eq!(history.ended(well, SHORT), Next::Again(FIRST_DELAY));
        }
    }

    #[test]
    fn an_end_is_an_end() {
        assert_eq!(History::new(Restart::OnFailure).ended(true, SHORT), Next::End);
        assert_eq!(History::new(Restart::Never).ended(true, LONG), Next::End);
        assert_eq!(History::new(Restart::Never).ended(false, LONG), Next::GiveUp);
    }
}
