//! What becomes of a value on its way into a column: nothing is refused but unreadable dates, much is changed silently.

use serde_json::Value;

use super::answer::Refusal;
use super::schema::{Field, Kind};

/// Digits before the decimal point that a currency column holds; more are clamped.
const CURRENCY_DIGITS_MAX: usize = 17;

/// The scalar that PHP makes of a JSON value: numbers and booleans become text, an array its first element, an object
/// nothing.
pub(super) fn scalar(sent: &Value) -> String {
    match sent {
        Value::Null | Value::Object(_) | Value::Bool(false) => String::new(),
        Value::Bool(true) => "1".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() => float.to_string(),
            _ => number.to_string(),
        },
        Value::String(text) => text.clone(),
        Value::Array(items) => items.first().map(scalar).unwrap_or_default(),
    }
}

/// What the column keeps of a value. References and owners are stored by their own rules and come here as plain text.
///
/// # Errors
///
/// A date that cannot be read is an internal error, and nothing is written.
pub(super) fn stored(field: &Field, text: &str, currency_decimals: usize) -> Result<String, Refusal> {
    Ok(match field.kind {
        Kind::Text { chars_max } => column_text(text).chars().take(chars_max).collect(),
        Kind::LongText => column_text(text),
        Kind::Boolean => if matches!(text, "1" | "on") { "1" } else { "0" }.to_owned(),
        Kind::Integer => integer(text),
        Kind::Currency => currency(text, currency_decimals),
        Kind::Date if text.is_empty() => String::new(),
        Kind::Date => date(text).ok_or_else(Refusal::internal)?,
        Kind::DateTime | Kind::Reference(_) | Kind::Owner | Kind::Id => text.to_owned(),
    })
}

/// Text as a column with three bytes a character keeps it, after Vtiger's only defence against scripts.
pub(super) fn column_text(text: &str) -> String {
    let has_script = text.to_ascii_lowercase().contains("<script");
    let mut kept = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '<' if has_script => kept.push_str("&lt;"),
            '>' if has_script => kept.push_str("&gt;"),
            _ if character.len_utf8() > 3 => kept.push_str("????"),
            _ => kept.push(character),
        }
    }
    kept
}

/// Rounds to a whole number within 32 bits; thousands separators are dropped, garbage is 0.
fn integer(text: &str) -> String {
    let rounded = leading_number(&text.replace(',', "")).round();
    rounded.clamp(f64::from(i32::MIN), f64::from(i32::MAX)).to_string().replace("-0", "0")
}

/// Rounds to the user's decimals and shows eight; what follows the first character that is not part of a number is
/// dropped.
fn currency(text: &str, decimals: usize) -> String {
    let (negative, whole, fraction) = leading_decimal(text);
    let whole = if whole.len() > CURRENCY_DIGITS_MAX { "9".repeat(CURRENCY_DIGITS_MAX) } else { whole };
    let scale = 10_u128.pow(decimals as u32);
    let kept: String = fraction.chars().chain(std::iter::repeat('0')).take(decimals).collect();
    let rounds_up = fraction.as_bytes().get(decimals).is_some_and(|digit| *digit >= b'5');
    let units = format!("0{whole}{kept}").parse::<u128>().unwrap_or(0) + u128::from(rounds_up);
    let sign = if negative && units > 0 { "-" } else { "" };
    let shown_fraction = if decimals == 0 { String::new() } else { format!("{:0decimals$}", units % scale) };
    format!("{sign}{}.{shown_fraction:0<8}", units / scale)
}

/// The number that a text begins with, 0 if it begins with none: what both PHP and the database do in number context.
pub(super) fn leading_number(text: &str) -> f64 {
    number_prefix(text).parse().unwrap_or(0.0)
}

/// The longest prefix that reads as a number: sign, digits, one point, an exponent.
fn number_prefix(text: &str) -> &str {
    let text = text.trim_start();
    let bytes = text.as_bytes();
    let digits = |from: usize| bytes[from.min(bytes.len())..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut end = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(end);
    end += whole;
    let mut fraction = 0;
    if bytes.get(end) == Some(&b'.') {
        fraction = digits(end + 1);
        end += 1 + fraction;
    }
    if whole + fraction == 0 {
        return "";
    }
    if matches!(bytes.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    &text[..end]
}

/// Sign, whole digits and fraction digits of the number that a text begins with, without a detour through binary
/// fractions.
fn leading_decimal(text: &str) -> (bool, String, String) {
    let prefix = number_prefix(text);
    let negative = prefix.starts_with('-');
    let unsigned = prefix.trim_start_matches(['+', '-']);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // Beyond this the value is clamped or zero anyway.
    let shift = exponent.parse::<i32>().unwrap_or(0).clamp(-40, 40);
    let point = whole.len() as i32 + shift;
    let digits = format!("{whole}{fraction}");
    let (whole, fraction) = if point <= 0 {
        (String::new(), format!("{}{digits}", "0".repeat(point.unsigned_abs() as usize)))
    } else if point as usize >= digits.len() {
        (format!("{digits:0<width$}", width = point as usize), String::new())
    } else {
        (digits[..point as usize].to_owned(), digits[point as usize..].to_owned())
    };
    (negative, whole.trim_start_matches('0').to_owned(), fraction)
}

/// ISO dates, day first with dashes, month first with slashes unless the first number cannot be a month.
fn date(text: &str) -> Option<String> {
    let parts: Vec<&str> = text.trim().split(['-', '/']).collect();
    let [first, second, third] = parts[..] else { return None };
    let numbers = [first.parse::<u32>().ok()?, second.parse::<u32>().ok()?, third.parse::<u32>().ok()?];
    let (year, month, day) = match (first.len(), third.len()) {
        (4, 1 | 2) => (numbers[0], numbers[1], numbers[2]),
        (1 | 2, 4) if text.contains('/') && numbers[0] <= 12 => (numbers[2], numbers[0], numbers[1]),
        (1 | 2, 4) => (numbers[2], numbers[1], numbers[0]),
        _ => return None,
    };
    let month_name = time::Month::try_from(u8::try_from(month).ok()?).ok()?;
    let valid = time::Date::from_calendar_date(i32::try_from(year).ok()?, month_name, u8::try_from(day).ok()?).is_ok();
    valid.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tables;
    use super::*;

    fn check(module_field: (&str, &str), sent: Value, expected: &str) {
        let module = if module_field.0 == "Accounts" { tables::accounts() } else { tables::contacts() };
        let field = module.field(module_field.1).expect("the field exists");
        assert_eq!(stored(field, &scalar(&sent), 2).expect("the value is taken"), expected, "{module_field:?} {sent}");
    }

    #[test]
    fn text_is_cut_and_loses_emoji() {
        check(("Contacts", "firstname"), json!("F".repeat(60)), &"F".repeat(40));
        check(("Contacts", "mailingstreet"), json!("é".repeat(300)), &"é".repeat(250));
        check(("Contacts", "lastname"), json!("山田 😀"), "山田 ????");
        check(("Contacts", "title"), json!("  padded  "), "  padded  ");
        check(("Contacts", "description"), json!("<b>1</b><SCRIPT>"), "&lt;b&gt;1&lt;/b&gt;&lt;SCRIPT&gt;");
        check(("Contacts", "description"), json!("<b>bold</b>"), "<b>bold</b>");
    }

    #[test]
    fn json_types_become_text() {
        check(("Contacts", "title"), json!(12), "12");
        check(("Contacts", "title"), json!(12.50), "12.5");
        check(("Contacts", "title"), json!(true), "1");
        check(("Contacts", "title"), json!(null), "");
        check(("Contacts", "title"), json!(["first", "second"]), "first");
        check(("Contacts", "title"), json!({"a": 1}), "");
    }

    #[test]
    fn booleans_are_true_for_one_and_on_only() {
        for (sent, expected) in [
            (json!("1"), "1"),
            (json!("on"), "1"),
            (json!(1), "1"),
            (json!(true), "1"),
            (json!("yes"), "0"),
            (json!("true"), "0"),
            (json!("2"), "0"),
            (json!(""), "0"),
        ] {
            check(("Contacts", "donotcall"), sent, expected);
        }
    }

    #[test]
    fn integers_round_and_clamp() {
        for (sent, expected) in
            [("12.7", "13"), ("9999999999", "2147483647"), ("many", "0"), ("1,000", "1000"), ("-0.2", "0"), ("", "0")]
        {
            check(("Accounts", "employees"), json!(sent), expected);
        }
    }

    #[test]
    fn currencies_round_to_the_users_decimals_and_show_eight() {
        for (sent, expected) in [
            ("1234567.89", "1234567.89000000"),
            ("1,234.50", "1.00000000"),
            ("1234567,89", "1234567.00000000"),
            ("garbage", "0.00000000"),
            ("1e3", "1000.00000000"),
            ("1.005", "1.01000000"),
            ("-0.001", "0.00000000"),
            ("-2.5", "-2.50000000"),
            ("1.5e-1", "0.15000000"),
            ("", "0.00000000"),
            ("123456789012345678901", "99999999999999999.00000000"),
        ] {
            check(("Accounts", "annual_revenue"), json!(sent), expected);
        }
        let field = *tables::accounts().field("annual_revenue").expect("the field exists");
        assert_eq!(stored(&field, "1234567.89", 0), Ok("1234568.00000000".to_owned()));
    }

    #[test]
    fn dates_come_in_three_spellings() {
        for (sent, expected) in [
            ("1980-02-29", "1980-02-29"),
            ("31-12-1980", "1980-12-31"),
            ("31/12/1999", "1999-12-31"),
            ("03-04-1980", "1980-04-03"),
            ("04/03/1980", "1980-04-03"),
            ("", ""),
        ] {
            check(("Contacts", "birthday"), json!(sent), expected);
        }
        let birthday = *tables::contacts().field("birthday").expect("the field exists");
        for unreadable in ["not a date", "2023-02-30", "1980-13-01", "19800229"] {
            assert_eq!(stored(&birthday, unreadable, 2), Err(Refusal::internal()), "{unreadable}");
        }
    }
}
