//! How the database compares text: case, accents and trailing blanks do not count.

/// The text that equal texts share and that sorts as they do: lower case, without accents. Letters that only look
/// accented (`ø`, `æ`, `đ`) stay what they are.
pub(super) fn fold(text: &str) -> String {
    text.trim_end_matches(' ').chars().flat_map(char::to_lowercase).filter_map(base_letter).collect()
}

/// Whether a text fits a `like` pattern; both must be folded already. `%` stands for any text, `_` for one character.
pub(super) fn is_like(text: &str, pattern: &str) -> bool {
    let text: Vec<char> = text.chars().collect();
    let pattern: Vec<char> = pattern.chars().collect();
    let (mut at, mut wanted) = (0, 0);
    // Where to resume when the text after the latest `%` does not fit: that `%` then swallows one character more.
    let mut resume: Option<(usize, usize)> = None;
    while at < text.len() {
        match pattern.get(wanted) {
            Some('%') => {
                resume = Some((at, wanted));
                wanted += 1;
            }
            Some(&character) if character == '_' || character == text[at] => {
                at += 1;
                wanted += 1;
            }
            _ => match resume {
                Some((swallowed, percent)) => {
                    resume = Some((swallowed + 1, percent));
                    at = swallowed + 1;
                    wanted = percent + 1;
                }
                None => return false,
            },
        }
    }
    pattern[wanted..].iter().all(|&character| character == '%')
}

fn base_letter(lower: char) -> Option<char> {
    Some(match lower {
        'à' | 'á' | 'â' | 'ã' | 'ä' | 'å' | 'ā' | 'ă' | 'ą' => 'a',
        'ç' | 'ć' | 'ĉ' | 'ċ' | 'č' => 'c',
        'ď' => 'd',
        'è' | 'é' | 'ê' | 'ë' | 'ē' | 'ĕ' | 'ė' | 'ę' | 'ě' => 'e',
        'ĝ' | 'ğ' | 'ġ' | 'ģ' => 'g',
        'ĥ' => 'h',
        'ì' | 'í' | 'î' | 'ï' | 'ĩ' | 'ī' | 'ĭ' | 'į' | 'ı' => 'i',
        'ĵ' => 'j',
        'ķ' => 'k',
        'ĺ' | 'ļ' | 'ľ' => 'l',
        'ñ' | 'ń' | 'ņ' | 'ň' => 'n',
        'ò' | 'ó' | 'ô' | 'õ' | 'ö' | 'ō' | 'ŏ' | 'ő' => 'o',
        'ŕ' | 'ŗ' | 'ř' => 'r',
        'ś' | 'ŝ' | 'ş' | 'š' | 'ș' | 'ß' => 's',
        'ţ' | 'ť' | 'ț' => 't',
        'ù' | 'ú' | 'û' | 'ü' | 'ũ' | 'ū' | 'ŭ' | 'ů' | 'ű' | 'ų' => 'u',
        'ŵ' => 'w',
        'ý' | 'ÿ' | 'ŷ' => 'y',
        'ź' | 'ż' | 'ž' => 'z',
        // Lower-casing `İ` leaves a combining dot behind.
        '\u{300}'..='\u{36f}' => return None,
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_accents_and_trailing_blanks_do_not_count() {
        let same = |left: &str, right: &str| assert_eq!(fold(left), fold(right), "{left} = {right}");
        same("Åse", "ASE  ");
        same("Müller", "muller");
        assert!(fold("Søren") > fold("Soren"));
        assert!(fold(" Larsen") < fold("Larsen"));
    }

    #[test]
    fn like_knows_percent_and_underscore() {
        let check = |text: &str, pattern: &str, expected: bool| {
            assert_eq!(is_like(&fold(text), &fold(pattern)), expected, "`{text}` like `{pattern}`");
        };
        check("Larsen", "L%", true);
        check("O'Brien & <Sons>", "%Brien & <Sons>%", true);
        check("abcabd", "%abd", true);
        check("abc", "a_c", true);
        check("abc", "a_", false);
        check("abc", "", false);
        check("", "%", true);
    }
}
