//! HTML entities, which Vtiger writes into `label` always and into `description` by mistake.

/// Encodes text as the `label` of a record shows it: named entities where HTML 4 has a name, and nothing encoded twice.
pub(super) fn label(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for (at, character) in text.char_indices() {
        match character {
            '&' if starts_with_entity(&text[at..]) => encoded.push('&'),
            _ => push_encoded(&mut encoded, character),
        }
    }
    encoded
}

/// Encodes the five characters that mean something in HTML, also those of entities that are there already.
pub(super) fn special_characters(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for character in text.chars() {
        match special(character) {
            Some(entity) => encoded.push_str(entity),
            None => encoded.push(character),
        }
    }
    encoded
}

/// Whether `special_characters` would change the text.
pub(super) fn has_special_characters(text: &str) -> bool {
    text.chars().any(|character| special(character).is_some())
}

fn special(character: char) -> Option<&'static str> {
    Some(match character {
        '&' => "&amp;",
        '<' => "&lt;",
        '>' => "&gt;",
        '"' => "&quot;",
        '\'' => "&#039;",
        _ => return None,
    })
}

fn starts_with_entity(text: &str) -> bool {
    let Some(end) = text.find(';') else { return false };
    let name = &text[1..end];
    let digits = name.strip_prefix('#');
    match digits {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()),
        None => !name.is_empty() && name.len() <= 8 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()),
    }
}

fn push_encoded(encoded: &mut String, character: char) {
    if let Some(entity) = special(character) {
        return encoded.push_str(entity);
    }
    let name = match character {
        '\u{a0}'..='\u{ff}' => Some(LATIN_1[character as usize - 0xa0]),
        _ => OTHERS.iter().find(|(other, _)| *other == character).map(|(_, name)| *name),
    };
    match name {
        Some(name) => {
            encoded.push('&');
            encoded.push_str(name);
            encoded.push(';');
        }
        None => encoded.push(character),
    }
}

/// The names of U+00A0 to U+00FF.
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

/// Letters and punctuation outside Latin-1 that occur in names.
const OTHERS: [(char, &str); 68] = [
    ('Œ', "OElig"),
    ('œ', "oelig"),
    ('Š', "Scaron"),
    ('š', "scaron"),
    ('Ÿ', "Yuml"),
    ('ƒ', "fnof"),
    ('–', "ndash"),
    ('—', "mdash"),
    ('‘', "lsquo"),
    ('’', "rsquo"),
    ('‚', "sbquo"),
    ('“', "ldquo"),
    ('”', "rdquo"),
    ('„', "bdquo"),
    ('†', "dagger"),
    ('•', "bull"),
    ('…', "hellip"),
    ('€', "euro"),
    ('™', "trade"),
    ('Α', "Alpha"),
    ('Β', "Beta"),
    ('Γ', "Gamma"),
    ('Δ', "Delta"),
    ('Ε', "Epsilon"),
    ('Ζ', "Zeta"),
    ('Η', "Eta"),
    ('Θ', "Theta"),
    ('Ι', "Iota"),
    ('Κ', "Kappa"),
    ('Λ', "Lambda"),
    ('Μ', "Mu"),
    ('Ν', "Nu"),
    ('Ξ', "Xi"),
    ('Ο', "Omicron"),
    ('Π', "Pi"),
    ('Ρ', "Rho"),
    ('Σ', "Sigma"),
    ('Τ', "Tau"),
    ('Υ', "Upsilon"),
    ('Φ', "Phi"),
    ('Χ', "Chi"),
    ('Ψ', "Psi"),
    ('Ω', "Omega"),
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "epsilon"),
    ('ζ', "zeta"),
    ('η', "eta"),
    ('θ', "theta"),
    ('ι', "iota"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('ο', "omicron"),
    ('π', "pi"),
    ('ρ', "rho"),
    ('ς', "sigmaf"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('υ', "upsilon"),
    ('φ', "phi"),
    ('χ', "chi"),
    ('ψ', "psi"),
    ('ω', "omega"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_carry_named_entities_and_encode_nothing_twice() {
        let check = |text: &str, expected: &str| assert_eq!(label(text), expected);
        check("Åse Larsen", "&Aring;se Larsen");
        check("Ωmega 山田 Ünïcødé ????", "&Omega;mega 山田 &Uuml;n&iuml;c&oslash;d&eacute; ????");
        check(r#"O'Brien & <Sons> "Q" &amp;"#, "O&#039;Brien &amp; &lt;Sons&gt; &quot;Q&quot; &amp;");
        check("R&D; x & y;", "R&D; x &amp; y;");
    }

    #[test]
    fn special_characters_are_encoded_once_more_by_each_pass() {
        let once = special_characters(r#"5 < 6 & "x" é"#);
        assert_eq!(once, "5 &lt; 6 &amp; &quot;x&quot; é");
        assert_eq!(special_characters(&once), "5 &amp;lt; 6 &amp;amp; &amp;quot;x&amp;quot; é");
    }
}
