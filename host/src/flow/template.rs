//! The commented flow file that a new flow begins with.

use std::fmt::Write;

use super::document::Document;
use super::edit::key_text;

/// What is known when a flow file is first written.
#[derive(Clone, Copy, Debug)]
pub struct Template<'a> {
    /// Name of the flow.
    pub name: &'a str,
    /// The two connections, left first.
    pub between: [&'a str; 2],
    /// Modules to sync, left first; see [`super::preset::modules`].
    pub modules: &'a [[String; 2]],
    /// E-mail address of the user who owns new records whose owner has no counterpart, for each side.
    pub owner_fallback: [Option<&'a str>; 2],
}

impl Document {
    /// A flow file with every setting at its default and explained; both sides are written and the first connection wins.
    ///
    /// Names are spelled as TOML needs it, but not judged: [`Document::parse`] does that.
    pub fn template(template: &Template<'_>) -> String {
        let Template { name, between: [left, right], modules, owner_fallback } = *template;
        let (quoted_name, quoted_left, quoted_right) = (quoted(name), quoted(left), quoted(right));
        let mut text = format!(
            "# {comment}: {left} and {right} kept in step.   crmsync flow check {comment}.toml\n\
             format       = 1\n\
             name         = {quoted_name}\n\
             between      = [{quoted_left}, {quoted_right}]    # names from `crmsync connection list`\n\
             records_from = \"all\"          # or a date such as \"2024-01-01\": older records are matched, and join when edited\n\
             winner       = {quoted_left}    # both changed one field: this side's value stays, the other is in the sync log\n\
             first_sync   = \"fill-empty\"   # matched records: fill blanks, list differences, replace nothing. Or \"winner\", \"ask\"\n\
             automations  = \"off\"          # start no workflow or mail where the CRM lets us choose\n\
             deletes      = \"report\"       # tell, and leave the other side's record. Or \"recycle\", or \"mark\": flag it as deleted\n\
             safety_stop  = {{ records = 50, percent = 5 }}    # ask before more records than this are deleted\n\
             \n\
             [owners]                      # by e-mail of active users; where nobody fits:\n",
            comment = one_line(name),
            left = one_line(left),
            right = one_line(right),
        );
        text.push_str(&owners([left, right], owner_fallback));
        for [left_module, right_module] in modules {
            let (left_module, right_module) = (quoted(left_module), quoted(right_module));
            let (left_key, right_key) = (key_text(left), key_text(right));
            write!(
                text,
                "\n[[module]]\n\
                 {left_key} = {left_module}\n\
                 {right_key} = {right_module}\n\
                 fields = \"default\"    # see them: crmsync flow show {name} --mapping. Leave some out: skip = [\"…\"]\n\
                 # direction = \"to-{right}\"    # both (default) | to-{left} | to-{right} | off\n\
                 # match = [\"email + last name\"]    # how records are known at the first sync, the strongest rule first\n\
                 \n\
                 \x20 # [[module.field]]    # a mapping of your own\n\
                 \x20 # {left_key} = \"…\"\n\
                 \x20 # {right_key} = \"…\"\n\
                 \x20 # values = {{ Gold = \"A\", Silver = \"B\" }}\n",
                name = one_line(name),
            )
            .expect("a string takes everything");
        }
        text
    }
}

fn owners(between: [&str; 2], fallback: [Option<&str>; 2]) -> String {
    let known: Vec<String> = between
        .iter()
        .zip(fallback)
        .filter_map(|(connection, email)| email.map(|email| format!("{} = {}", key_text(connection), quoted(email))))
        .collect();
    if known.is_empty() {
        let connection = key_text(between[0]);
        return format!("# fallback = {{ {connection} = \"office@acme.example\" }}    # new records only\n");
    }
    format!("fallback = {{ {} }}    # new records only\n", known.join(", "))
}

fn quoted(text: &str) -> String {
    toml::Value::from(text).to_string()
}

/// Nothing that could end a comment.
fn one_line(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::module::FieldSet;
    use crmsync_core::{Direction, Side};

    #[test]
    fn names_that_need_quotes_have_them() {
        let modules = [["Contacts".to_owned(), "Contacts".to_owned()]];
        let between = ["east.eu", "our \"west\""];
        let owner_fallback = [Some("a@x.example"), Some("b@x.example")];
        let text = Document::template(&Template { name: "sales", between, modules: &modules, owner_fallback });
        let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{error}\n{text}"));
        assert_eq!(table["owners"]["fallback"]["east.eu"].as_str(), Some("a@x.example"));
        assert_eq!(table["module"][0]["our \"west\""].as_str(), Some("Contacts"));
    }

    #[test]
    fn a_new_flow_is_a_valid_one() {
        let modules = [["Contacts".to_owned(), "Contacts".to_owned()], ["Leads".to_owned(), "Leads".to_owned()]];
        let check = |owner_fallback: [Option<&str>; 2]| {
            let template = Template { name: "sales", between: ["east", "west"], modules: &modules, owner_fallback };
            let text = Document::template(&template);
            let document = Document::parse(&text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
            assert_eq!(document.between, ["east", "west"]);
            assert_eq!(document.winner, Some(Side::Left));
            assert_eq!(document.every_ms, 300_000);
            assert_eq!(document.owners.fallback, owner_fallback.map(|email| email.map(str::to_owned)));
            assert_eq!(document.modules.len(), 2);
            assert!(document.modules.iter().all(|module| module.fields == FieldSet::Default
                && module.direction == Some(Direction::Both)
                && module.rows.is_empty()
                && module.match_rules.is_none()));
        };
        check([None, None]);
        check([Some("office@acme.example"), None]);
        check([Some("office@acme.example"), Some("sales@acme.example")]);
    }

    #[test]
    fn names_cannot_break_out_of_the_text() {
        let template = Template {
            name: "a\"\nautomations = \"on\"",
            between: ["east", "west"],
            modules: &[["Contacts\"".to_owned(), "Contacts".to_owned()]],
            owner_fallback: [None, None],
        };
        let problems = Document::parse(&Document::template(&template)).expect_err("a bad name");
        assert_eq!(problems.len(), 1, "{problems:#?}");
        assert!(problems[0].message.starts_with("`name` cannot be"), "{}", problems[0].message);
    }
}
