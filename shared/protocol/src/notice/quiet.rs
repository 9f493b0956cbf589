//! Quiet times: what happens in them is told when they end, together.

use alloc::format;
use alloc::string::String;

const MINUTE_MS: u64 = 60_000;
/// Minutes of a day.
const DAY: u64 = 24 * 60;
const WEEK: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// 1970 began on a Thursday.
const FIRST_DAY: u64 = 3;

/// A time of the week that comes again every week, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet {
    /// The days on which it begins, Monday first.
    days: [bool; 7],
    /// The minute of the day at which it begins.
    from: u64,
    /// How many minutes it takes, 1 to a whole day.
    minutes: u64,
}

impl Quiet {
    /// Reads `22:00-07:00`, or with the days on which it begins, `mon-fri 22:00-07:00` or `sat,sun
    /// 00:00-00:00`. Two equal times are a whole day.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || {
            format!(
                "{text:?} is no quiet time: write 22:00-07:00, mon-fri 22:00-07:00 or sat,sun \
                 00:00-00:00, in UTC"
            )
        };
        let (days, times) = match text.trim().split_once(' ') {
            Some((days, times)) => (parse_days(days).ok_or_else(form)?, times),
            None => ([true; 7], text.trim()),
        };
        let (from, to) = times.trim().split_once('-').ok_or_else(form)?;
        let (from, to) = (minute(from).ok_or_else(form)?, minute(to).ok_or_else(form)?);
        let minutes = match (to + DAY - from) % DAY {
            0 => DAY,
            minutes => minutes,
        };
        Ok(Self { days, from, minutes })
    }

    /// If it is quiet at this time, when that ends; both in milliseconds since 1970.
    pub fn until(&self, now_ms: u64) -> Option<u64> {
        let today = now_ms / MINUTE_MS / DAY;
        // It may have begun yesterday.
        [today.checked_sub(1), Some(today)].into_iter().flatten().find_map(|day| {
            let of_week = usize::try_from((day + FIRST_DAY) % 7).ok()?;
            let begin = (day * DAY + self.from) * MINUTE_MS;
            let end = begin + self.minutes * MINUTE_MS;
            (self.days[of_week] && begin <= now_ms && now_ms < end).then_some(end)
        })
    }
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (day(first)?, day(last)?);
        days[day] = true;
        while day != last {
            day = (day + 1) % 7;
            days[day] = true;
        }
    }
    Some(days)
}

fn day(text: &str) -> Option<usize> {
    WEEK.iter().position(|day| *day == text)
}

fn minute(text: &str) -> Option<u64> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, below: u64| {
        let two = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        two.then(|| text.parse::<u64>().ok()).flatten().filter(|number| *number < below)
    };
    Some(number(hours, 24)? * 60 + number(minutes, 60)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thursday, 2026-11-19, 00:00 UTC, in minutes since 1970.
    const THURSDAY: u64 = 20_776 * DAY;

    /// When it is quiet until at this minute after that Thursday began, in the same minutes.
    fn until(text: &str, minute: u64) -> Option<u64> {
        let at_ms = (THURSDAY + minute) * MINUTE_MS;
        let end = Quiet::parse(text).unwrap().until(at_ms)?;
        Some(end / MINUTE_MS - THURSDAY)
    }

    #[test]
    fn a_night_goes_over_midnight() {
        let night = "22:00-07:00";
        assert_eq!(until(night, 0), Some(7 * 60), "it began yesterday");
        assert_eq!(until(night, 7 * 60 - 1), Some(7 * 60));
        assert_eq!(until(night, 7 * 60), None);
        assert_eq!(until(night, 22 * 60 - 1), None);
        assert_eq!(until(night, 22 * 60), Some(DAY + 7 * 60));
    }

    #[test]
    fn days_are_those_on_which_it_begins() {
        assert_eq!(until("mon-fri 22:00-07:00", DAY + 23 * 60), Some(2 * DAY + 7 * 60), "Friday");
        assert_eq!(until("mon-fri 22:00-07:00", 2 * DAY + 23 * 60), None, "Saturday");
        assert_eq!(until("sat,sun 00:00-00:00", 2 * DAY + 5), Some(3 * DAY));
        assert_eq!(until("sat,sun 00:00-00:00", DAY + 5), None);
        assert_eq!(until("fri-mon 10:00-11:00", 3 * DAY + 10 * 60), Some(3 * DAY + 11 * 60));
    }

    #[test]
    fn what_is_no_quiet_time_is_refused() {
        for text in [
            "",
            "22-07",
            "22:00",
            "25:00-07:00",
            "22:60-07:00",
            "monday 22:00-07:00",
            "mon 2:00-3:00",
            "+1:00-02:00",
        ] {
            assert!(Quiet::parse(text).is_err(), "{text:?}");
        }
    }
}
