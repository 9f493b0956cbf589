//! Wall-clock times for people, in UTC.

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

const TEXT: StaticFormatDescription =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:3]Z");

/// `2026-11-22 00:10:03.123Z`, from microseconds since 1970; the bare number if the calendar ends
/// before it.
pub fn utc(us: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(us) * 1_000).ok();
    at.and_then(|at| at.format(TEXT).ok()).unwrap_or_else(|| format!("{us} µs since 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_the_calendar_has_it() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00"),
            (951_782_399, "2000-02-28 23:59:59"),
            (951_782_400, "2000-02-29 00:00:00"),
            (1_735_689_599, "2024-12-31 23:59:59"),
            (4_107_542_400, "2100-03-01 00:00:00"),
        ] {
            assert_eq!(utc(seconds * 1_000_000 + 7_999), format!("{text}.007Z"));
        }
        assert_eq!(utc(u64::MAX), "18446744073709551615 µs since 1970");
    }
}
