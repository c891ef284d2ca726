//! Phone numbers.

/// Complaint about a text that cannot be dialled: without any digit, or with letters for digits.
const NOT_A_PHONE_NUMBER: &str = "not-a-phone-number";
/// Complaint about a text with more than one number: which one is meant, nobody knows.
const SEVERAL_PHONE_NUMBERS: &str = "several-phone-numbers";

/// Digits that make a number by themselves; fewer are an area code or an ending.
const NUMBER_DIGITS_MIN: usize = 6;
/// Digits of the longest number in the world (E.164), without the prefix `00`.
const NUMBER_DIGITS_MAX: usize = 15;
/// Digits of the longest extension.
const EXTENSION_DIGITS_MAX: usize = 6;

/// Keeps a number's digits, a leading `+` (also for the prefix `00`) and an extension (`ext. 12`, `x12`, `#12`) as `x12`; punctuation
/// and words before or after the number are spelling. Stable: applied again it changes nothing.
pub(crate) fn digits(source: &str) -> Result<String, &'static str> {
    let chars: Vec<char> = source.chars().collect();
    let (mut number, mut extension) = (String::with_capacity(source.len()), None::<String>);
    let (mut has_plus, mut is_over) = (false, false);
    // Digits before each sign that may stand inside of a number as well as between two.
    let mut borders = Vec::new();
    let mut at = 0;
    while let Some(&char) = chars.get(at) {
        at += 1;
        match char {
            _ if digit(char).is_some() => {
                if is_over {
                    return Err(SEVERAL_PHONE_NUMBERS);
                }
                extension.as_mut().unwrap_or(&mut number).extend(digit(char));
            }
            '+' | '＋' if number.is_empty() => has_plus = true,
            // Digits of other scripts, fractions, numerals: leaving one out would make another number.
            _ if char.is_numeric() => return Err(NOT_A_PHONE_NUMBER),
            _ if number.is_empty() => {}
            '/' | ',' | '(' if extension.is_none() => borders.push(number.len()),
            '+' | '＋' | ';' | '|' | '&' | '\n' => is_over = true,
            '#' if extension.is_none() && leads_to_digit(&chars[at..]) => extension = Some(String::new()),
            _ if char.is_alphabetic() => {
                let begin = at - 1;
                at += chars[at..].iter().take_while(|char| char.is_alphabetic()).count();
                let word: String = chars[begin..at].iter().collect();
                if extension.is_none() && is_extension(&word) && leads_to_digit(&chars[at..]) {
                    extension = Some(String::new());
                } else if chars[begin - 1].is_whitespace() || matches!(chars[begin - 1], '(' | ',' | '/') {
                    is_over = true;
                } else if !is_over {
                    return Err(NOT_A_PHONE_NUMBER);
                }
            }
            _ => {}
        }
    }
    if number.is_empty() {
        return Err(NOT_A_PHONE_NUMBER);
    }
    let extension = extension.unwrap_or_default();
    let parts_two = |before: &usize| *before >= NUMBER_DIGITS_MIN && number.len() - before >= NUMBER_DIGITS_MIN;
    // A number that is nothing but the prefix stays as it is.
    let has_prefix = !has_plus && number.len() > 2 && number.starts_with("00");
    let dialled = number.len() - if has_prefix { 2 } else { 0 };
    if borders.iter().any(parts_two) || dialled > NUMBER_DIGITS_MAX || extension.len() > EXTENSION_DIGITS_MAX {
        return Err(SEVERAL_PHONE_NUMBERS);
    }
    if has_prefix {
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

fn is_extension(word: &str) -> bool {
    ["x", "ext", "extn", "extension"].iter().any(|known| word.eq_ignore_ascii_case(known))
}

/// Whether nothing but blanks and punctuation stands before the next digit.
fn leads_to_digit(rest: &[char]) -> bool {
    let next = rest.iter().find(|char| !char.is_whitespace() && !matches!(char, '.' | ':' | '-'));
    next.is_some_and(|char| digit(*char).is_some())
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
        check("555 1234 x 12 (desk)", Ok("5551234x12"));
        check("555 1234 (office)", Ok("5551234"));
        check("069 / 123 456", Ok("069123456"));
        check("+49 6221/54-0", Ok("+496221540"));
        check("+44 (20) 7946 0958", Ok("+442079460958"));
        check("tel: +44 20 7946 0958", Ok("+442079460958"));
        check("٠٣٠ ١٢", Ok("03012"));
        check("００４９", Ok("+49"));
        check("00", Ok("00"));
        check("none", Err(NOT_A_PHONE_NUMBER));
        check("+", Err(NOT_A_PHONE_NUMBER));
        check("555x", Err(NOT_A_PHONE_NUMBER));
        check("1-800-FLOWERS", Err(NOT_A_PHONE_NUMBER));
        check("555 ১২৩৪", Err(NOT_A_PHONE_NUMBER));
        check("Ⅷ 555", Err(NOT_A_PHONE_NUMBER));
    }

    #[test]
    fn two_numbers_never_become_one() {
        for source in [
            "030 1234 / 030 5678",
            "030 1234/030 5678",
            "555 1234 (fax) 555 9999",
            "555 1234 or 9999",
            "555 1234, 555 9999",
            "555 1234; 12",
            "(030) 1234 (030) 5678",
            "+49 30 1234 +49 30 5678",
            "555 1234\n555 9999",
            "555 1234 x 555 9999",
            "555 1234 ext 1 x 2",
            "0049 30 1234567 0171 2345678",
        ] {
            assert_eq!(digits(source), Err(SEVERAL_PHONE_NUMBERS), "{source}");
        }
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
