//! Times as Zoho writes them: whole seconds in the zone of the acting user, never `Z`, never a fraction.

use time::format_description::well_known::{Iso8601, Rfc2822};
use time::{Date, OffsetDateTime, UtcOffset};

/// The whole second that contains this instant, in milliseconds since 1970.
pub(super) fn second(ms: i64) -> i64 {
    ms.div_euclid(1_000) * 1_000
}

/// An instant in a zone, for example `2025-03-01T13:30:00+05:30`.
pub(super) fn show(ms: i64, zone: UtcOffset) -> String {
    let instant = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let local = instant.to_offset(zone);
    let (hours, minutes, _) = zone.as_hms();
    let sign = if zone.is_negative() { '-' } else { '+' };
    format!(
        "{}-{:02}-{:02}T{:02}:{:02}:{:02}{sign}{:02}:{:02}",
        local.year(),
        u8::from(local.month()),
        local.day(),
        local.hour(),
        local.minute(),
        local.second(),
        hours.abs(),
        minutes.abs()
    )
}

/// An instant as the `date` header of HTTP has it, for example `Sat, 01 Mar 2025 00:00:00 GMT`.
pub(super) fn http_date(ms: i64) -> String {
    let instant = OffsetDateTime::from_unix_timestamp(ms.div_euclid(1_000)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (weekday, month) = (instant.weekday().to_string(), instant.month().to_string());
    format!(
        "{}, {:02} {} {:04} {:02}:{:02}:{:02} GMT",
        &weekday[..3],
        instant.day(),
        &month[..3],
        instant.year(),
        instant.hour(),
        instant.minute(),
        instant.second()
    )
}

/// Reads an ISO 8601 instant with an offset, or the form that HTTP uses in its headers.
pub(super) fn parse(text: &str) -> Option<i64> {
    let text = text.trim();
    let instant = OffsetDateTime::parse(text, &Iso8601::DEFAULT)
        .or_else(|_| OffsetDateTime::parse(&text.replace(" GMT", " +0000"), &Rfc2822))
        .ok()?;
    i64::try_from(instant.unix_timestamp_nanos() / 1_000_000).ok()
}

/// Whether a text is a day of the calendar in the form `yyyy-MM-dd`.
pub(super) fn is_date(text: &str) -> bool {
    text.len() == 10 && Date::parse(text, &Iso8601::DATE).is_ok() && text.as_bytes()[4] == b'-'
}

/// Reads an offset such as `+05:30`.
pub(super) fn parse_zone(text: &str) -> Option<UtcOffset> {
    let (sign, rest) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let (hours, minutes) = rest.split_once(':')?;
    UtcOffset::from_hms(sign * hours.parse::<i8>().ok()?, sign * minutes.parse::<i8>().ok()?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_shown_in_the_zone_and_read_in_any() {
        let zone = parse_zone("+05:30").expect("a zone");
        assert_eq!(show(1_740_787_200_999, zone), "2025-03-01T05:30:00+05:30");
        assert_eq!(show(0, parse_zone("-03:30").expect("a zone")), "1969-12-31T20:30:00-03:30");
        for text in [
            "2025-03-01T05:30:00+05:30",
            "2025-03-01T00:00:00Z",
            "2025-02-28T19:00:00-05:00",
            "Sat, 01 Mar 2025 00:00:00 GMT",
        ] {
            assert_eq!(parse(text), Some(1_740_787_200_000), "{text}");
        }
        assert_eq!(parse("yesterday"), None);
        assert_eq!(http_date(1_740_787_200_999), "Sat, 01 Mar 2025 00:00:00 GMT");
    }

    #[test]
    fn dates_are_days_of_the_calendar() {
        assert!(is_date("1980-02-29"));
        for text in ["1981-02-29", "19800229", "1980-2-9", "29.02.1980", "1980-060 "] {
            assert!(!is_date(text), "{text}");
        }
    }
}
