//! Phone numbers.

/// Complaint about a text without any digit.
const NOT_A_PHONE_NUMBER: &str = "not-a-phone-number";

/// Keeps a number's digits, a leading `+` (also for the prefix `00`) and an extension (`ext. 12`, `x12`, `#12`) as `x12`; all other
/// characters are spelling. Stable: applied again it changes nothing.
pub(crate) fn digits(source: &str) -> Result<String, &'static str> {
    let mut number = String::with_capacity(source.len());
    let mut extension = String::new();
    let mut has_plus = false;
    let mut in_extension = false;
    for char in source.chars() {
        match digit(char) {
            Some(digit) if in_extension => extension.push(digit),
            Some(digit) => number.push(digit),
            None if number.is_empty() => has_plus |= matches!(char, '+' | '＋'),
            None => in_extension |= matches!(char, 'x' | 'X' | '#'),
        }
    }
    if number.is_empty() {
        return Err(NOT_A_PHONE_NUMBER);
    }
    // A number that is nothing but the prefix stays as it is.
    if !has_plus && number.len() > 2 && number.starts_with("00") {
        number.replace_range(..2, "+");
    } else if has_plus {
        number.insert(0, '+');
    }
    if !extension.is_empty() {
        number.push('x');
        number.push_str(&extension);
    }
    Ok(number)
}

/// The ASCII digit for a decimal digit of the scripts that phone numbers come in.
fn digit(char: char) -> Option<char> {
    const ZEROS: [char; 5] = ['0', '٠', '۰', '०', '０'];
    ZEROS.iter().find_map(|&zero| {
        let value = u32::from(char).checked_sub(u32::from(zero))?;
        char::from_digit(value, 10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_keep_what_is_dialled() {
        let check = |source: &str, kept: Result<&str, &'static str>| {
            assert_eq!(digits(source), kept.map(str::to_owned), "{source}");
        };
        check("+1 (555) 123-4567", Ok("+15551234567"));
        check("0049 30 1234", Ok("+49301234"));
        check("(030) 12.34/56", Ok("030123456"));
        check("555-1234 ext. 12", Ok("5551234x12"));
        check("555-1234 Ext 1-2", Ok("5551234x12"));
        check("555 1234 #9", Ok("5551234x9"));
        check("ext 12", Ok("12"));
        check("555x", Ok("555"));
        check("tel: +44 20 7946 0958", Ok("+442079460958"));
        check("٠٣٠ ١٢", Ok("03012"));
        check("００４９", Ok("+49"));
        check("00", Ok("00"));
        check("none", Err(NOT_A_PHONE_NUMBER));
        check("+", Err(NOT_A_PHONE_NUMBER));
    }

    proptest! {
        #[test]
        fn digits_are_stable(source in "[0-9+x#() .-]{0,16}|\\PC{0,16}") {
            if let Ok(once) = digits(&source) {
                prop_assert_eq!(digits(&once), Ok(once));
            }
        }
    }
}
