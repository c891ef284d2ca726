//! One spelling for values that mean the same. Used to compare and to match, never to rewrite what a person typed.

use crate::mapping::Sameness;
use crate::value::Value;

/// The comparable spelling of a value; an empty text for an empty value.
pub fn comparable(value: &Value, sameness: Sameness) -> String {
    match value {
        Value::Absent | Value::Empty => String::new(),
        Value::Text(text) | Value::Raw(text) => comparable_text(text, sameness),
        Value::List(text) => comparable_list(text),
        other => other.display(),
    }
}

/// Whether two rows of values mean the same. Empty and absent fields of a row agree with each other.
pub fn same(left: &[Value], right: &[Value], sameness: Sameness) -> bool {
    left.len() == right.len()
        && left
            .iter()
            .zip(right)
            .all(|(left, right)| left == right || comparable(left, sameness) == comparable(right, sameness))
}

fn comparable_text(text: &str, sameness: Sameness) -> String {
    match sameness {
        Sameness::Text => line_ends(text).trim_end().to_owned(),
        Sameness::Name => text.split_whitespace().map(str::to_lowercase).collect::<Vec<_>>().join(" "),
        Sameness::Email => text.trim().to_lowercase(),
        Sameness::Phone => phone(text),
        Sameness::Website => website(text),
    }
}

/// A name as match keys spell it, more lenient than agreement: small letters without accents, and nothing but letters and digits.
pub(crate) fn folded(name: &str) -> String {
    let letters: String = name.to_lowercase().chars().map(without_accent).collect();
    let words = letters.split(|letter: char| !(letter.is_alphanumeric() || letter == '\'' || letter == '’'));
    let words = words.map(|word| word.replace(['\'', '’'], "")).filter(|word| !word.is_empty());
    let spelled = words.collect::<Vec<_>>().join(" ");
    // A name of signs alone is a name all the same.
    if spelled.is_empty() { name.to_owned() } else { spelled }
}

/// Latin letters without their accents, as people without the right keyboard type them.
fn without_accent(letter: char) -> String {
    let plain = match letter {
        'à'..='å' | 'ā' | 'ă' | 'ą' => "a",
        'æ' => "ae",
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => "c",
        'ď' | 'đ' | 'ð' => "d",
        'è'..='ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => "e",
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => "g",
        'ĥ' | 'ħ' => "h",
        'ì'..='ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => "i",
        'ĵ' => "j",
        'ķ' => "k",
        'ĺ' | 'ļ' | 'ľ' | 'ŀ' | 'ł' => "l",
        'ñ' | 'ń' | 'ņ' | 'ň' => "n",
        'ò'..='ö' | 'ø' | 'ō' | 'ŏ' | 'ő' => "o",
        'œ' => "oe",
        'ŕ' | 'ŗ' | 'ř' => "r",
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' => "s",
        'ß' => "ss",
        'ţ' | 'ť' | 'ŧ' | 'ț' => "t",
        'ù'..='ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => "u",
        'ŵ' => "w",
        'ý' | 'ÿ' | 'ŷ' => "y",
        'ź' | 'ż' | 'ž' => "z",
        // Accents that stand apart from their letter.
        '\u{300}'..='\u{36f}' => "",
        other => return other.to_string(),
    };
    plain.to_owned()
}

/// Shorter words that differ in one letter are other names (Jan, Ian), longer ones are typed wrong (Jon, John).
const TYPO_CHARS_MIN: usize = 4;

/// Whether two spellings may be one person's name: nothing is said on one side, a word is in both, begins another (an initial, a short
/// form) or differs in one letter.
pub(crate) fn names_agree(left: &str, right: &str) -> bool {
    let words = |name: &str| folded(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (left, right) = (words(left), words(right));
    let alike = |one: &String, other: &String| {
        let longer = one.chars().count().max(other.chars().count());
        one.starts_with(other.as_str())
            || other.starts_with(one.as_str())
            || (longer >= TYPO_CHARS_MIN && one_letter_apart(one, other))
    };
    left.is_empty() || right.is_empty() || left.iter().any(|one| right.iter().any(|other| alike(one, other)))
}

/// Whether one letter was left out, added or replaced.
fn one_letter_apart(one: &str, other: &str) -> bool {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let (short, long) = if one.len() <= other.len() { (one, other) } else { (other, one) };
    if long.len() - short.len() > 1 {
        return false;
    }
    let same = short.iter().zip(&long).take_while(|(one, other)| one == other).count();
    let rest = if long.len() == short.len() { &short[(same + 1).min(short.len())..] } else { &short[same..] };
    rest == &long[(same + 1).min(long.len())..]
}

/// CRMs rewrite line ends; they never mean anything.
fn line_ends(text: &str) -> String {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text.to_owned() }
}

/// Digits with a leading `+` set apart; an extension (`x12`, `ext. 12`) kept behind `x`. Text without digits stays as it is.
fn phone(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let (number, extension) = match text.find(['x', '#']).or_else(|| text.find("ext")) {
        Some(at) if at > 0 => text.split_at(at),
        _ => (text.as_str(), ""),
    };
    let digits = |part: &str| part.chars().filter(char::is_ascii_digit).collect::<String>();
    let mut spelled = digits(number);
    if spelled.is_empty() {
        return text;
    }
    if number.trim_start().starts_with('+') {
        spelled.insert(0, '+');
    } else if let Some(rest) = spelled.strip_prefix("00") {
        spelled = format!("+{rest}");
    }
    let extension = digits(extension);
    if !extension.is_empty() {
        spelled.push('x');
        spelled.push_str(&extension);
    }
    spelled
}

fn website(text: &str) -> String {
    let text = text.trim().to_lowercase();
    let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(&text);
    text.strip_prefix("www.").unwrap_or(text).trim_end_matches('/').to_owned()
}

/// A list's order means nothing. The elements of a JSON array of strings are compared as their spelled-out texts, sorted.
fn comparable_list(text: &str) -> String {
    let mut elements = list_elements(text);
    elements.sort_unstable();
    elements.join(",")
}

/// The elements of a JSON array of strings, each in the array's own spelling, quotes included.
pub(crate) fn list_elements(text: &str) -> Vec<&str> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    let mut elements: Vec<&str> = Vec::new();
    let (mut start, mut in_string, mut escaped) = (0, false, false);
    for (at, byte) in inner.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' if !in_string => {
                elements.push(inner[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    elements.push(inner[start..].trim());
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_that_mean_the_same() {
        let check = |sameness: Sameness, left: &str, right: &str, expected: bool| {
            assert_eq!(same(&[Value::text(left)], &[Value::text(right)], sameness), expected, "{left:?} {right:?}");
        };
        check(Sameness::Text, "a ", "a", true);
        check(Sameness::Text, " a", "a", false);
        check(Sameness::Text, "a\r\nb", "a\nb", true);
        check(Sameness::Text, "A", "a", false);
        check(Sameness::Name, " ANNA  marie", "Anna Marie", true);
        check(Sameness::Name, "Øystein", "øystein", true);
        check(Sameness::Email, " A@B.c", "a@b.C ", true);
        check(Sameness::Phone, "(415) 555-0101", "415.555.0101", true);
        check(Sameness::Phone, "0047 22 33", "+47 2233", true);
        check(Sameness::Phone, "555-0101 ext. 12", "5550101x12", true);
        check(Sameness::Phone, "555-0101 x12", "5550101", false);
        check(Sameness::Phone, "call Anna", "call Anna", true);
        check(Sameness::Phone, "call Anna", "call Bob", false);
        check(Sameness::Website, "https://www.Acme.example/", "acme.example", true);
    }

    #[test]
    fn lists_have_no_order() {
        let list = |text: &str| [Value::List(text.to_owned())];
        assert!(same(&list(r#"["a","b,c"]"#), &list(r#"["b,c", "a"]"#), Sameness::Text));
        assert!(!same(&list(r#"["a"]"#), &list(r#"["a","b"]"#), Sameness::Text));
    }
}
