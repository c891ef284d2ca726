//! Texts of Vtiger's query language, which has no parameters: everything is quoted here.
//!
//! What the grammar wants, as measured: a semicolon at the end; literals in single quotes, a quote inside doubled,
//! never an empty literal; no parentheses, where `and` binds tighter than `or`; one direction at the very end of `order
//! by`; at most 100 rows whatever `limit` says. An unknown column after `order by` gives an empty success, so only
//! known ones go there.

/// Rows of one page: the CRM cuts larger limits silently.
pub(crate) const PAGE_ROWS: u64 = 100;

/// Bytes that a query may have in its percent-encoded form. A request line of 8,192 bytes is the limit of common web
/// servers; the rest is for the path, the session and a proxy's additions.
pub(crate) const QUERY_BYTES_MAX: usize = 7_400;

/// Order of a scan, matching [`after_id`].
pub(crate) const BY_ID: &str = "id";

/// Order of a walk through changes, matching [`since`] and [`after_change`].
pub(crate) const BY_CHANGE: &str = "modifiedtime, id";

/// One page of rows. `columns` are column names with commas between, or `*`.
pub(crate) fn page(columns: &str, module: &str, condition: &str, order: &str, skip: u64) -> String {
    let filter = filter(condition);
    format!("select {columns} from {module}{filter} order by {order} limit {skip},{PAGE_ROWS};")
}

/// Rows by a condition that selects at most [`PAGE_ROWS`]; the order is the CRM's.
pub(crate) fn rows(columns: &str, module: &str, condition: &str) -> String {
    let filter = filter(condition);
    format!("select {columns} from {module}{filter};")
}

/// How many rows fulfil a condition.
pub(crate) fn count(module: &str, condition: &str) -> String {
    let filter = filter(condition);
    format!("select count(*) from {module}{filter};")
}

/// The rows that were changed last, so many that the user may see one of them.
pub(crate) fn newest(module: &str) -> String {
    format!("select id,modifiedtime from {module} order by modifiedtime desc limit 0,{PAGE_ROWS};")
}

/// The rows of other owners than this one that were changed last.
pub(crate) fn newest_of_others(module: &str, owner: &str) -> String {
    let owner = literal(owner);
    format!(
        "select id,modifiedtime,assigned_user_id from {module} where assigned_user_id != {owner} \
         order by modifiedtime desc limit 0,{PAGE_ROWS};"
    )
}

/// Rows behind an id. Ids are compared as numbers; an empty id selects everything.
pub(crate) fn after_id(id: &str) -> String {
    if id.is_empty() { String::new() } else { format!("id > {}", literal(id)) }
}

/// Rows changed at or after a moment.
pub(crate) fn since(timestamp: &str) -> String {
    format!("modifiedtime >= {}", literal(timestamp))
}

/// Rows behind a place in the order [`BY_CHANGE`].
pub(crate) fn after_change(timestamp: &str, id: &str) -> String {
    let (timestamp, id) = (literal(timestamp), literal(id));
    format!("modifiedtime > {timestamp} or modifiedtime = {timestamp} and id > {id}")
}

/// Rows whose column has one of these values, none of which may be empty.
pub(crate) fn one_of<S: AsRef<str>>(column: &str, values: &[S]) -> String {
    let list: Vec<String> = values.iter().map(|value| literal(value.as_ref())).collect();
    format!("{column} in ({})", list.join(","))
}

/// Whether a module or column may be named in a query: names are not quoted, so nothing but letters, digits and `_`. What begins with a
/// digit is a value to the CRM.
pub(crate) fn is_name(name: &str) -> bool {
    let begins_well = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
    begins_well && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Splits values into runs that fit one query each: at most [`PAGE_ROWS`] values, and at most [`QUERY_BYTES_MAX`] bytes
/// together with the `fixed` text around them. A value that is too long by itself is a run of its own.
pub(crate) fn fitting<'a, S: AsRef<str>>(fixed: &str, values: &'a [S]) -> Vec<&'a [S]> {
    let room = QUERY_BYTES_MAX.saturating_sub(encoded_bytes(fixed));
    let mut runs = Vec::new();
    let (mut start, mut used) = (0, 0);
    for (index, value) in values.iter().enumerate() {
        let size = encoded_bytes(&literal(value.as_ref())) + encoded_bytes(",");
        if index > start && (used + size > room || index - start >= PAGE_ROWS as usize) {
            runs.push(&values[start..index]);
            (start, used) = (index, 0);
        }
        used += size;
    }
    if start < values.len() {
        runs.push(&values[start..]);
    }
    runs
}

/// Length of a text in a query string: what is not unreserved takes three bytes.
pub(crate) fn encoded_bytes(text: &str) -> usize {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.bytes().map(|byte| if plain(byte) { 1 } else { 3 }).sum()
}

fn filter(condition: &str) -> String {
    if condition.is_empty() { String::new() } else { format!(" where {condition}") }
}

fn literal(value: &str) -> String {
    format!("'{}'", value.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_read_as_the_grammar_wants_them() {
        assert_eq!(
            page("id,lastname", "Contacts", &after_id("12x150"), BY_ID, 0),
            "select id,lastname from Contacts where id > '12x150' order by id limit 0,100;"
        );
        assert_eq!(page("*", "Contacts", "", BY_ID, 100), "select * from Contacts order by id limit 100,100;");
        assert_eq!(
            page("id", "Leads", &after_change("2026-11-20 10:00:00", "10x5"), BY_CHANGE, 0),
            "select id from Leads where modifiedtime > '2026-11-20 10:00:00' or modifiedtime = '2026-11-20 10:00:00' \
             and id > '10x5' order by modifiedtime, id limit 0,100;"
        );
        assert_eq!(count("Contacts", ""), "select count(*) from Contacts;");
        assert_eq!(
            count("Contacts", &since("2026-11-20 10:00:00")),
            "select count(*) from Contacts where modifiedtime >= '2026-11-20 10:00:00';"
        );
    }

    #[test]
    fn quotes_are_doubled() {
        assert_eq!(one_of("lastname", &["O'Brien", "a''b"]), "lastname in ('O''Brien','a''''b')");
        assert_eq!(rows("id", "Contacts", &one_of("id", &["12x1"])), "select id from Contacts where id in ('12x1');");
    }

    #[test]
    fn names_cannot_carry_syntax() {
        assert!(is_name("cf_901"));
        for name in ["", "a b", "a,b", "a;", "shipping_&_handling", "é", "a'", "0x0", "1"] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn values_are_split_by_number_and_by_length() {
        let ids: Vec<String> = (0..250).map(|number| format!("12x{number}")).collect();
        let sizes = |runs: Vec<&[String]>| runs.iter().map(|run| run.len()).collect::<Vec<_>>();
        assert_eq!(sizes(fitting("select id from Contacts", &ids)), [100, 100, 50]);
        let long: Vec<String> = (0..10).map(|number| format!("{number}{}", "å".repeat(500))).collect();
        let runs = fitting("", &long);
        assert_eq!(runs.iter().map(|run| run.len()).sum::<usize>(), 10);
        assert!(runs.iter().all(|run| encoded_bytes(&one_of("f", run)) <= QUERY_BYTES_MAX), "each run fits");
        assert!(fitting::<&str>("", &[]).is_empty());
        assert_eq!(fitting("", &["x".repeat(9_000)]).len(), 1);
    }
}
