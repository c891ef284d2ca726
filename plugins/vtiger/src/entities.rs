//! Labels come as they stand in a page: with HTML entities (`Shipping &amp; Handling`, `Bes&oslash;k`).

/// Names of U+00A0 to U+00FF, in order.
const LATIN_1: [&str; 96] = [
    "nbsp", "iexcl", "cent", "pound", "curren", "yen", "brvbar", "sect", "uml", "copy", "ordf", "laquo", "not", "shy",
    "reg", "macr", "deg", "plusmn", "sup2", "sup3", "acute", "micro", "para", "middot", "cedil", "sup1", "ordm",
    "raquo", "frac14", "frac12", "frac34", "iquest", "Agrave", "Aacute", "Acirc", "Atilde", "Auml", "Aring", "AElig",
    "Ccedil", "Egrave", "Eacute", "Ecirc", "Euml", "Igrave", "Iacute", "Icirc", "Iuml", "ETH", "Ntilde", "Ograve",
    "Oacute", "Ocirc", "Otilde", "Ouml", "times", "Oslash", "Ugrave", "Uacute", "Ucirc", "Uuml", "Yacute", "THORN",
    "szlig", "agrave", "aacute", "acirc", "atilde", "auml", "aring", "aelig", "ccedil", "egrave", "eacute", "ecirc",
    "euml", "igrave", "iacute", "icirc", "iuml", "eth", "ntilde", "ograve", "oacute", "ocirc", "otilde", "ouml",
    "divide", "oslash", "ugrave", "uacute", "ucirc", "uuml", "yacute", "thorn", "yuml",
];

/// The text with its entities replaced, once. What is not a known entity stays as it is.
pub(crate) fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        plain.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').and_then(|end| Some((character(&rest[1..end])?, end)));
        match entity {
            Some((character, end)) => {
                plain.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                plain.push('&');
                rest = &rest[1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

fn character(entity: &str) -> Option<char> {
    if let Some(number) = entity.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code).filter(|character| !character.is_control());
    }
    match entity {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        name => LATIN_1.iter().position(|known| *known == name).and_then(|index| char::from_u32(0xA0 + index as u32)),
    }
}

#[cfg(test)]
mod tests {
    use super::unescape;

    #[test]
    fn entities_become_characters_once() {
        assert_eq!(unescape("Shipping &amp; Handling"), "Shipping & Handling");
        assert_eq!(unescape("Acme &amp; S&oslash;ns &quot;AS&quot; &#039;&#x41;&lt;"), "Acme & Søns \"AS\" 'A<");
        assert_eq!(unescape("&amp;lt;"), "&lt;");
        assert_eq!(unescape("&Agrave;&szlig;&yuml;&nbsp;"), "Àßÿ\u{a0}");
    }

    #[test]
    fn everything_else_stays() {
        for text in ["", "a & b; c", "&;", "&#;", "&#x110000;", "&#10;", "&unknown;", "&", "100 %&"] {
            assert_eq!(unescape(text), text);
        }
    }
}
