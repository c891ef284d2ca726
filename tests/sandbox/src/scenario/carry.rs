//! What happens to a value on its way to the other side, and what the other side then shows.

use crate::people::{Field, Kind, Side};

/// The value as the other side must show it; blank stays blank, and `None` means that it has no counterpart there.
///
/// ```
/// use crmsync_sandbox::people::{Side, field};
/// use crmsync_sandbox::scenario::carry::carry;
///
/// let mobile = field("Mobile").expect("a mapped field");
/// assert_eq!(carry(mobile, "0047 912-34567", Side::Vtiger).as_deref(), Some("+4791234567"));
/// ```
pub fn carry(field: &Field, value: &str, to: Side) -> Option<String> {
    let carried = match field.kind {
        Kind::Choice(_) if value.trim().is_empty() => String::new(),
        Kind::Choice(choices) if to == Side::Vtiger => choices.vtiger(value)?.to_owned(),
        Kind::Choice(choices) => choices.zoho(value)?.to_owned(),
        Kind::Listed(values) if to == Side::Zoho && !value.is_empty() => {
            values.iter().find(|listed| **listed == value).map(|listed| (*listed).to_owned())?
        }
        _ => plain(field.kind, value),
    };
    Some(stored(field, &carried, to))
}

/// Whether two values say the same, so that each side keeps its own spelling.
pub fn agree(field: &Field, zoho: &str, vtiger: &str) -> bool {
    let same = |value: &str| match field.kind {
        Kind::Name => plain(Kind::Name, value).to_lowercase(),
        Kind::Label => value.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase(),
        Kind::Website => website(value),
        kind => plain(kind, value).trim().to_owned(),
    };
    same(zoho) == same(vtiger)
        || carry(field, zoho, Side::Vtiger).is_some_and(|carried| carried == vtiger)
        || carry(field, vtiger, Side::Zoho).is_some_and(|carried| carried == zoho)
}

/// Whether the other side shows something else than was sent to it, because of a column's length or its characters.
pub fn is_stored_differently(field: &Field, value: &str, to: Side) -> bool {
    carry(field, value, to).is_some_and(|shown| shown != plain(field.kind, value))
        && !matches!(field.kind, Kind::Choice(_))
}

/// A value in its own kind's plain spelling.
fn plain(kind: Kind, value: &str) -> String {
    match kind {
        Kind::Name => name(value),
        Kind::Trimmed | Kind::Label => value.trim().to_owned(),
        Kind::Email => value.trim().to_lowercase(),
        Kind::Phone => phone(value),
        Kind::Verbatim
        | Kind::Website
        | Kind::Date
        | Kind::Integer
        | Kind::Money
        | Kind::Choice(_)
        | Kind::Listed(_)
        | Kind::Flag => value.to_owned(),
    }
}

fn stored(field: &Field, value: &str, side: Side) -> String {
    match side {
        Side::Zoho => value.trim().to_owned(),
        Side::Vtiger => {
            // Three-byte text: each character beyond the basic plane becomes one question mark for each of its bytes.
            let text: String =
                value.chars().map(|c| if c.len_utf8() == 4 { "????".to_owned() } else { c.to_string() }).collect();
            text.chars().take(field.vtiger_chars_max.unwrap_or(usize::MAX)).collect()
        }
    }
}

fn name(value: &str) -> String {
    let collapsed = value.split_whitespace().collect::<Vec<_>>().join(" ");
    let in_one_case = collapsed == collapsed.to_uppercase() || collapsed == collapsed.to_lowercase();
    if in_one_case { capitalised(&collapsed) } else { collapsed }
}

fn capitalised(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut at_start = true;
    for letter in text.to_lowercase().chars() {
        if at_start {
            result.extend(letter.to_uppercase());
        } else {
            result.push(letter);
        }
        at_start = matches!(letter, ' ' | '-' | '\'');
    }
    result
}

fn phone(value: &str) -> String {
    let lower = value.trim().to_lowercase();
    let (number, extension) = match lower.find(['x', '#']) {
        // "ext." has its own letters before and after the x, none of which is a digit.
        Some(at) => (&lower[..at], digits(&lower[at..])),
        None => (lower.as_str(), String::new()),
    };
    let plus = number.trim_start().starts_with('+');
    let digits = digits(number);
    let number = match digits.strip_prefix("00") {
        _ if plus => format!("+{digits}"),
        Some(rest) => format!("+{rest}"),
        None => digits,
    };
    if extension.is_empty() { number } else { format!("{number}x{extension}") }
}

fn website(value: &str) -> String {
    let text = value.trim().to_lowercase();
    let text = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(&text);
    text.strip_prefix("www.").unwrap_or(text).trim_end_matches('/').to_owned()
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::people::{Module, field};

    fn check(name: &str, value: &str, to: Side, expected: Option<&str>) {
        let field = field(name).expect("a mapped field");
        assert_eq!(carry(field, value, to).as_deref(), expected, "{name} {value:?}");
    }

    #[test]
    fn values_on_their_way() {
        check("Last_Name", "  o'BRIEN-smith ", Side::Vtiger, Some("o'BRIEN-smith"));
        check("Last_Name", "O'BRIEN-SMITH", Side::Vtiger, Some("O'Brien-Smith"));
        check("Last_Name", "van  den  berg", Side::Zoho, Some("Van Den Berg"));
        check("Email", " Åse@Example.COM ", Side::Zoho, Some("åse@example.com"));
        check("Phone", "0047 22-33 44 ext. 12", Side::Vtiger, Some("+47223344x12"));
        check("Phone", "+47 (22) 33.44 x7", Side::Zoho, Some("+47223344x7"));
        check("Phone", "22 33 44", Side::Zoho, Some("223344"));
        check("Lead_Source", "Web Research", Side::Vtiger, Some("Web Site"));
        check("Lead_Source", "Podcast", Side::Vtiger, None);
        check("Lead_Source", "Other", Side::Zoho, None);
        check("Description", "on the way 🚚", Side::Vtiger, Some("on the way ????"));
        check("Department", &"d".repeat(40), Side::Vtiger, Some(&"d".repeat(30)));
        check("Title", " CEO ", Side::Zoho, Some("CEO"));
        let of_accounts =
            |name: &str, value: &str, to: Side| carry(Module::Accounts.field(name).expect("a mapped field"), value, to);
        assert_eq!(of_accounts("Account_Type", "Vendor", Side::Vtiger).as_deref(), Some("Other"));
        assert_eq!(of_accounts("Industry", "Banking", Side::Zoho), None);
        assert_eq!(of_accounts("Ownership", "Family", Side::Zoho), None);
        assert_eq!(of_accounts("Ownership", "Public", Side::Zoho).as_deref(), Some("Public"));
        assert_eq!(of_accounts("Account_Name", " ACME  AS ", Side::Vtiger).as_deref(), Some("ACME  AS"));
    }

    #[test]
    fn spellings_that_say_the_same() {
        let same = |name: &str, zoho: &str, vtiger: &str| agree(field(name).expect("a mapped field"), zoho, vtiger);
        assert!(same("First_Name", "ANNA-LENA", " Anna-Lena"));
        assert!(same("Mobile", "+47 912 34 567", "0047-91234567"));
        assert!(same("Lead_Source", "Chat", "Web Site"));
        assert!(same("Lead_Source", "External Referral", "Existing Customer"));
        assert!(same("Description", "by 🚚", "by ????"));
        assert!(!same("Title", "CEO", "ceo"));
        let of_accounts =
            |name: &str, zoho: &str, vtiger: &str| agree(Module::Accounts.field(name).expect("a field"), zoho, vtiger);
        assert!(of_accounts("Account_Name", "Acme AS", " ACME  as "));
        assert!(of_accounts("Website", "https://acme.example", "www.Acme.example/"));
        assert!(of_accounts("Account_Type", "Supplier", "Other"));
        assert!(!same("Mobile", "+47 912 34 567", "912 34 567"));
    }
}
