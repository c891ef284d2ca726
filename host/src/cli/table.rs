//! Plain tables for people: aligned columns, no wider than the terminal, and nothing in a value can steer the terminal (S22).

/// Narrower than this no column is cut, so that something can still be read.
const CUT_COLUMN_MIN: usize = 8;
/// Blanks between two columns.
const GAP: usize = 2;
/// Stands where a text was cut.
const CUT: char = '…';

/// A table under construction.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
    numbers: Vec<usize>,
}

impl Table {
    /// A table with these column titles, at least one.
    pub fn new(titles: &[&str]) -> Table {
        Table { rows: vec![titles.iter().map(|title| neutral(title)).collect()], numbers: Vec::new() }
    }

    /// Aligns a column (counted from 0) at its right end, as numbers are read.
    pub fn numbers(mut self, column: usize) -> Table {
        self.numbers.push(column);
        self
    }

    /// Adds a row. Cells beyond the titles are dropped, missing ones stay blank.
    pub fn row<T: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = T>) {
        let columns = self.rows[0].len();
        let mut row: Vec<String> = cells.into_iter().take(columns).map(|cell| neutral(cell.as_ref())).collect();
        row.resize(columns, String::new());
        self.rows.push(row);
    }

    /// The table as text, each line ended. Lines are at most `width_max` terminal columns wide where cutting cells can do that;
    /// none cuts nothing, as is right for a file or a pipe.
    pub fn text(&self, width_max: Option<usize>) -> String {
        let widths = self.widths(width_max);
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
                let cell = cut(cell, width);
                let blanks = " ".repeat(width.saturating_sub(width_of(&cell)));
                let cell = if self.numbers.contains(&column) { blanks + &cell } else { cell + &blanks };
                if column > 0 {
                    line.push_str(&" ".repeat(GAP));
                }
                line.push_str(&cell);
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }

    /// Width of each column: its widest cell, with the widest columns cut until all fit.
    fn widths(&self, width_max: Option<usize>) -> Vec<usize> {
        let columns = self.rows[0].len();
        let widest = |column: usize| self.rows.iter().map(|row| width_of(&row[column])).max().unwrap_or(0);
        let mut widths: Vec<usize> = (0..columns).map(widest).collect();
        let Some(width_max) = width_max else { return widths };
        let gaps = GAP * columns.saturating_sub(1);
        while widths.iter().sum::<usize>() + gaps > width_max {
            match widths.iter_mut().max_by_key(|width| **width).filter(|width| **width > CUT_COLUMN_MIN) {
                Some(width) => *width -= 1,
                None => break,
            }
        }
        widths
    }
}

/// The text without anything that moves the cursor, colours the terminal or turns the direction of writing.
///
/// Line breaks and tabs become blanks, other control characters `�`.
pub fn neutral(text: &str) -> String {
    let spelled = text.chars().map(|letter| match letter {
        '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
        '\u{200e}' | '\u{200f}' | '\u{061c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        letter if letter.is_control() => '\u{fffd}',
        letter => letter,
    });
    spelled.collect()
}

fn cut(text: &str, width: usize) -> String {
    if width_of(text) <= width {
        return text.to_owned();
    }
    let mut kept = String::new();
    let mut used = 1;
    for letter in text.chars() {
        used += letter_width(letter);
        if used > width {
            break;
        }
        kept.push(letter);
    }
    kept.push(CUT);
    kept
}

fn width_of(text: &str) -> usize {
    text.chars().map(letter_width).sum()
}

/// Columns that a terminal gives to a letter: none to marks that stand on the letter before, two to wide East Asian letters and
/// emoji. Blocks rather than the full Unicode table: an error here costs one blank, not a wrong value.
fn letter_width(letter: char) -> usize {
    match letter {
        '\u{0300}'..='\u{036f}' | '\u{200b}'..='\u{200d}' | '\u{20d0}'..='\u{20ff}' | '\u{fe00}'..='\u{fe0f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Table {
        let mut table = Table::new(&["MODULE", "RECORDS", "STATE"]).numbers(1);
        table.row(["Contacts", "12", "all is well and nothing waits"]);
        table.row(["Organizations", "1024", ""]);
        table
    }

    #[test]
    fn columns_are_aligned() {
        let expected = "\
MODULE         RECORDS  STATE
Contacts            12  all is well and nothing waits
Organizations     1024
";
        assert_eq!(sample().text(None), expected);
        assert_eq!(sample().text(Some(200)), expected);
    }

    #[test]
    fn the_widest_columns_are_cut_first() {
        let expected = "\
MODULE         RECORDS  STATE
Contacts            12  all is well a…
Organizations     1024
";
        assert_eq!(sample().text(Some(38)), expected);
        let narrow = sample().text(Some(5));
        assert_eq!(narrow.lines().nth(2), Some("Organiz…     1024"), "columns stay readable");
    }

    #[test]
    fn no_line_is_too_wide() {
        let mut table = Table::new(&["NAME", "CITY"]);
        table.row([
            "山田太郎と申しますよろしく",
            "Kraków e\u{0301}e\u{0301}e\u{0301}e\u{0301}e\u{0301}e\u{0301}e\u{0301}e\u{0301}e\u{0301}",
        ]);
        for width in 18..60 {
            assert!(table.text(Some(width)).lines().all(|line| width_of(line) <= width), "{width}");
        }
    }

    #[test]
    fn values_cannot_steer_the_terminal() {
        let check = |text: &str, expected: &str| assert_eq!(neutral(text), expected);
        check("a\u{1b}[31mb", "a�[31mb");
        check("a\r\nb\tc", "a  b c");
        check("\u{7f}\u{9b}2J", "��2J");
        check("abc\u{202e}gpj.exe", "abc�gpj.exe");
        check("Łódź 😀", "Łódź 😀");
        let mut table = Table::new(&["NAME"]);
        table.row(["one\ntwo"]);
        assert_eq!(table.text(None).lines().count(), 2);
    }

    #[test]
    fn odd_rows_fit_the_titles() {
        let mut table = Table::new(&["A", "B"]);
        table.row(["1"]);
        table.row(["1", "2", "3"]);
        assert_eq!(table.text(None), "A  B\n1\n1  2\n");
    }
}
