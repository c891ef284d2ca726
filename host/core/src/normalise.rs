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
