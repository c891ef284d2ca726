//! Dates and times in the units of the contract: days, and microseconds, since 1970. Years 1 to 9999.

const MICROS_A_SECOND: i64 = 1_000_000;
const SECONDS_A_DAY: i64 = 86_400;
const MICROS_A_DAY: i64 = SECONDS_A_DAY * MICROS_A_SECOND;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days since 1970-01-01 of a date such as `2026-08-25`; none if there is no such day.
pub fn parse_date(text: &str) -> Option<i64> {
    let mut parts = text.split('-');
    let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    if parts.next().is_some() {
        return None;
    }
    days_of(year, month, day)
}

/// A day since 1970-01-01 as `2026-08-25`.
pub fn format_date(days: i64) -> String {
    let (year, month, day) = date_of(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// Microseconds since midnight of a time such as `09:30` or `09:30:15`.
pub fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let (hour, minute) = (digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
    let (second, micros) = parts.next().map_or(Some((0, 0)), parse_seconds)?;
    let valid = hour < 24 && minute < 60 && second < 60 && parts.next().is_none();
    valid.then_some((hour * 3600 + minute * 60 + second) * MICROS_A_SECOND + micros)
}

/// Microseconds since midnight as `09:30:15`. Parts of a second are left out.
pub fn format_time(micros: i64) -> String {
    let seconds = micros.rem_euclid(MICROS_A_DAY) / MICROS_A_SECOND;
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// Microseconds since 1970-01-01T00:00 of a date and time without a zone, such as `2026-08-25 10:00:00` or with a `T` between.
pub fn parse_local(text: &str) -> Option<i64> {
    let (date, time) = text.split_once(['T', ' '])?;
    Some(parse_date(date)? * MICROS_A_DAY + parse_time(time)?)
}

/// Microseconds since 1970-01-01T00:00 as `2026-08-25 10:00:00`. Parts of a second are left out.
pub fn format_local(micros: i64) -> String {
    format!("{} {}", format_date(micros.div_euclid(MICROS_A_DAY)), format_time(micros))
}

/// Microseconds since 1970-01-01T00:00Z of a date and time with an offset, such as `2026-08-25T10:00:00-05:00` or `…Z`.
pub fn parse_instant(text: &str) -> Option<i64> {
    if let Some(local) = text.strip_suffix(['Z', 'z']) {
        return parse_local(local);
    }
    let at = text.rfind(['+', '-']).filter(|&at| at > "2026-08-25".len())?;
    let (local, offset) = text.split_at(at);
    let (hours, minutes) = offset[1..].split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    let east = (hours * 3600 + minutes * 60) * MICROS_A_SECOND;
    let local = parse_local(local)?;
    Some(if offset.starts_with('+') { local - east } else { local + east })
}

/// Microseconds since 1970-01-01T00:00Z as `2026-08-25T15:00:00+00:00`. Parts of a second are left out.
pub fn format_instant(micros: i64) -> String {
    format!("{}T{}+00:00", format_date(micros.div_euclid(MICROS_A_DAY)), format_time(micros))
}

/// Milliseconds since 1970 of an HTTP `Date` header such as `Tue, 25 Aug 2026 15:00:00 GMT`.
pub fn parse_http_date(text: &str) -> Option<i64> {
    let mut words = text.split_once(", ")?.1.split(' ');
    let day = digits(words.next()?, 2)?;
    let name = words.next()?;
    let month = MONTHS.iter().position(|known| *known == name)? as i64 + 1;
    let year = digits(words.next()?, 4)?;
    let time = parse_time(words.next()?)?;
    (words.next() == Some("GMT")).then_some(())?;
    Some((days_of(year, month, day)? * MICROS_A_DAY + time) / 1_000)
}

fn parse_seconds(text: &str) -> Option<(i64, i64)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros = fraction
        .bytes()
        .chain(core::iter::repeat(b'0'))
        .take(6)
        .fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    Some((digits(whole, 2)?, micros))
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let right = text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit());
    right.then(|| text.parse().ok()).flatten()
}

/// Days since 1970-01-01 in the Gregorian calendar. Years are counted from March, so that a leap day ends one; 719,468 days lie
/// between 0000-03-01 and 1970-01-01.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    let march_year = if month > 2 { year } else { year - 1 };
    let march_month = (month + 9) % 12;
    let day_of_year = (153 * march_month + 2) / 5 + day - 1;
    let leap_days = march_year.div_euclid(4) - march_year.div_euclid(100) + march_year.div_euclid(400);
    Some(march_year * 365 + leap_days + day_of_year - 719_468)
}

fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day)
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_comes_back() {
        let first = parse_date("0001-01-01").expect("a day");
        let last = parse_date("9999-12-31").expect("a day");
        assert_eq!((first, last, parse_date("1970-01-01")), (-719_162, 2_932_896, Some(0)));
        for days in (first..=last).step_by(29).chain([last]) {
            assert_eq!(parse_date(&format_date(days)), Some(days));
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "2026-02-29",
            "2026-13-01",
            "2026-00-10",
            "26-01-01",
            "2026-1-1",
            "2026-01-01x",
            "2026-01-+1",
            "0000-01-01",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn instants_count_their_offset() {
        let check = |text: &str, micros: Option<i64>| assert_eq!(parse_instant(text), micros, "{text}");
        check("1970-01-01T00:00:00Z", Some(0));
        check("1970-01-01T05:30:00+05:30", Some(0));
        check("1969-12-31T19:00:00-05:00", Some(0));
        check("1970-01-01T00:00:01.25+00:00", Some(1_250_000));
        check("1969-12-31T23:59:59.999999Z", Some(-1));
        check("1970-01-01T00:00:00", None);
        check("1970-01-01T00:00:00+0000", None);
        check("1970-01-01T24:00:00Z", None);
        check("1970-01-01", None);
        assert_eq!(format_instant(1_787_670_000_000_000), "2026-08-25T15:00:00+00:00");
        assert_eq!(format_local(-1_000_000), "1969-12-31 23:59:59");
    }

    #[test]
    fn http_dates_are_read() {
        assert_eq!(parse_http_date("Tue, 25 Aug 2026 15:00:00 GMT"), Some(1_787_670_000_000));
        assert_eq!(parse_http_date("Tue, 25 Aug 2026 15:00:00"), None);
        assert_eq!(parse_http_date("today"), None);
    }
}
