use super::*;
use crate::flow::fixture::{SALES, functions, left, right};
use crate::flow::pair::LeftOut;
use crate::flow::preset;
use crate::flow::problem::Spot;
use crate::flow::rows::Origin;
use crmsync_core::mapping::Sameness;
use crmsync_core::{Direction, MappingRow, RowKey, Value, Winner};

fn resolve_text(text: &str) -> Result<Vec<Pair>, Vec<Problem>> {
    let document = Document::parse(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    resolve(&document, [&left(), &right()], &functions(), Misfit::Refuse)
}

/// A flow of contacts alone, with these lines in the module and its rows.
fn contacts(lines: &str) -> String {
    format!(
        "format = 1\nname = \"sales\"\nbetween = [\"east\", \"west\"]\nwinner = \"east\"\n\n[[module]]\neast = \"Contacts\"\nwest = \"Contacts\"\n{lines}"
    )
}

/// Contacts with the rows that they cannot do without, and one more.
fn own(lines: &str) -> String {
    contacts(&format!(
        "fields = \"none\"\nmatch = [\"last name\"]\n[[module.field]]\neast = \"Last_Name\"\nwest = \"lastname\"\n\
         [[module.field]]\neast = \"Owner\"\nwest = \"assigned_user_id\"\n[[module.field]]\n{lines}"
    ))
}

fn only_pair(text: &str) -> Pair {
    let pairs = resolve_text(text).unwrap_or_else(|problems| panic!("{problems:#?}\n{text}"));
    pairs.into_iter().find(|pair| pair.left_module == "Contacts").expect("contacts")
}

fn own_row(lines: &str) -> MappingRow {
    only_pair(&own(lines)).mapping.rows.pop().expect("the last row")
}

fn row<'a>(pair: &'a Pair, key: &str) -> &'a MappingRow {
    pair.mapping.rows.iter().find(|row| row.key.0 == key).unwrap_or_else(|| panic!("no row {key}"))
}

/// Problems of a flow of contacts, one a line.
fn check(text: &str, expected: &[&str]) {
    let found: Vec<String> = match resolve_text(text) {
        Ok(_) => vec![],
        Err(problems) => problems.iter().map(Problem::to_string).collect(),
    };
    assert_eq!(found, expected, "{text}");
}

#[test]
fn a_preset_fits_with_every_row() {
    let pair = only_pair(&SALES.replacen("skip   = [\"Fax\"]\n", "", 1));
    assert_eq!(pair.left_out, []);
    let plugins = [left().plugin, right().plugin];
    let preset = preset::find([&plugins[0], &plugins[1]], ["Contacts", "Contacts"], Spot::default()).expect("a preset");
    assert_eq!(pair.mapping.rows.len(), preset.rows.len() + 1);
    assert_eq!(pair.mapping.rows.last().expect("a row").key, RowKey("Loyalty_Level=cf_857".into()));

    assert_eq!(row(&pair, "Owner=assigned_user_id").role, Role::Owner);
    assert_eq!(row(&pair, "Account_Name=account_id").role, Role::Reference);
    assert_eq!(row(&pair, "Reporting_To=contact_id").role, Role::Reference);
    let name = row(&pair, "Last_Name=lastname");
    assert_eq!(name.sameness, Sameness::Name);
    assert_eq!(name.direction, Direction::Both);
    for carry in [&name.to_left, &name.to_right] {
        let carry = carry.as_ref().expect("a transform");
        assert_eq!((carry.plugin.as_str(), carry.function.as_str()), ("transforms", "person-name"));
    }
    let labels: Vec<_> = pair.mapping.match_rules.iter().map(|rule| rule.label.as_str()).collect();
    assert_eq!(labels, ["email + last name", "last name + mobile"]);
    let keys = |rule: usize| {
        let rows = pair.mapping.match_rules[rule].rows.iter();
        rows.map(|&index| pair.mapping.rows[index].key.0.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(keys(0), ["Email=email", "Last_Name=lastname"]);
    assert_eq!(keys(1), ["Last_Name=lastname", "Mobile=mobile"]);
}

#[test]
fn all_presets_fit_together() {
    let plugins = [left().plugin, right().plugin];
    let mut text = "format = 1\nname = \"all\"\nbetween = [\"east\", \"west\"]\nwinner = \"east\"\n".to_owned();
    for [east, west] in preset::modules([&plugins[0], &plugins[1]]) {
        text.push_str(&format!("[[module]]\neast = \"{east}\"\nwest = \"{west}\"\n"));
    }
    for pair in resolve_text(&text).unwrap_or_else(|problems| panic!("{problems:#?}")) {
        assert_eq!(pair.left_out, [], "{}", pair.left_module);
        assert!(pair.mapping.rows.iter().all(|row| row.direction == Direction::Both), "{}", pair.left_module);
        assert!(!pair.mapping.match_rules.is_empty(), "{}", pair.left_module);
    }
}

#[test]
fn a_preset_fits_the_other_way_round_too() {
    let text = contacts("").replace("[\"east\", \"west\"]", "[\"west\", \"east\"]");
    let document = Document::parse(&text).expect("valid");
    let pairs = resolve(&document, [&right(), &left()], &functions(), Misfit::Refuse).expect("the same preset");
    let source = pairs[0].mapping.rows.iter().find(|row| row.key.0 == "leadsource=Lead_Source").expect("a row");
    let to_right = source.to_right.as_ref().expect("a table");
    assert!(to_right.settings.contains("\"Word of mouth\":\"External Referral\""), "{}", to_right.settings);
}

#[test]
fn picklists_make_no_new_values() {
    let pair = only_pair(&contacts(""));
    let source = row(&pair, "Lead_Source=leadsource");
    let [to_left, to_right] =
        [&source.to_left, &source.to_right].map(|carry| &carry.as_ref().expect("a table").settings);
    // Many-to-one both ways, each way by its own table.
    assert!(to_right.contains("\"Facebook\":\"Other\"") && to_right.contains("\"Chat\":\"Web Site\""), "{to_right}");
    assert!(to_left.contains("\"Existing Customer\":\"External Referral\""), "{to_left}");
    assert!(!to_left.contains("\"Other\""), "{to_left}");
    // Equal texts go without a table of anybody's.
    let salutation = row(&pair, "Salutation=salutationtype").to_right.as_ref().expect("a table");
    assert_eq!(
        salutation.settings,
        r#"{"values":{"Dr.":"Dr.","Mr.":"Mr.","Mrs.":"Mrs.","Ms.":"Ms.","Prof.":"Prof."}}"#
    );
    let warnings: Vec<String> = pair.warnings.iter().map(Problem::to_string).collect();
    assert_eq!(
        warnings,
        [
            "line 6, column 1: `leadsource` of `west` has values without a counterpart in `Lead_Source` of `east`: `Other`; \
         they are left out and reported; to map them: [[module.field]] east = \"Lead_Source\", west = \"leadsource\", \
         values = { \"…\" = \"Other\" }",
        ]
    );
}

#[test]
fn a_picklist_that_grows_is_no_new_mapping() {
    let document = Document::parse(SALES).expect("valid");
    let resolve_with =
        |left: &SideInfo| resolve(&document, [left, &right()], &functions(), Misfit::Refuse).expect("valid");
    let hashes = |pairs: &[Pair]| {
        pairs.iter().flat_map(|pair| &pair.mapping.rows).map(|row| (row.key.clone(), row.hash)).collect::<Vec<_>>()
    };
    let mut grown = left();
    let contacts = grown.fields.get_mut("Contacts").expect("contacts");
    let source = contacts.iter_mut().find(|field| field.name == "Lead_Source").expect("a picklist");
    source.choices.push(crate::flow::Choice { value: "Other".into(), label: "Other".into() });
    let (before, after) = (resolve_with(&left()), resolve_with(&grown));
    assert_eq!(hashes(&before), hashes(&after));
    assert_ne!(before, after, "the new value is carried");
    assert_eq!(before, resolve_with(&left()), "resolving twice gives the same");
}

#[test]
fn a_row_hash_changes_with_what_the_row_agrees_on() {
    let base = "east = \"Nick_Name\"\nwest = \"cf_863\"\n";
    let hash = own_row(base).hash;
    let check = |lines: &str, same: bool| assert_eq!(own_row(lines).hash == hash, same, "{lines}");
    check(base, true);
    check("west = \"Note\"\neast = \"nick_name\"\n", true);
    check(&format!("{base}winner = \"west\"\n"), true);
    check(&format!("{base}direction = \"both\"\n"), true);
    check(&format!("{base}direction = \"to-west\"\n"), false);
    check(&format!("{base}same = \"name\"\n"), false);
    check(&format!("{base}transform = \"transforms/trim\"\n"), false);
    check("east = \"Pen_Name\"\nwest = \"cf_863\"\n", false);
    let collapsing = |settings: &str| {
        own_row(&format!("{base}transform = {{ function = \"transforms/trim\", settings = {{ {settings} }} }}\n")).hash
    };
    assert_eq!(collapsing("a = 1, b = 2"), collapsing("b = 2, a = 1"));
    assert_ne!(collapsing("a = 1, b = 2"), collapsing("a = 1, b = 3"));
}

#[test]
fn modules_come_before_those_that_point_to_them() {
    let pairs = resolve_text(SALES).expect("valid");
    let names: Vec<_> = pairs.iter().map(|pair| (pair.left_module.as_str(), pair.right_module.as_str())).collect();
    assert_eq!(names, [("Leads", "Leads"), ("Accounts", "Accounts"), ("Contacts", "Contacts")]);
    assert_eq!(pairs[0].policy.direction, Direction::ToRight);
    let off = resolve_text(&SALES.replacen("\"to-west\"", "\"off\"", 1)).expect("valid");
    assert_eq!(off.len(), 2);
}

#[test]
fn what_does_not_apply_is_left_out_and_said() {
    let left_out =
        |text: &str| only_pair(text).left_out.iter().map(|out| format!("{}: {}", out.row, out.why)).collect::<Vec<_>>();
    assert_eq!(left_out(SALES), ["Fax=fax: the flow skips it"]);
    let no_accounts = "Account_Name=account_id: `Account_Name` points to `Accounts`, which this flow does not sync";
    assert_eq!(left_out(&contacts("")), [no_accounts]);
    assert_eq!(
        left_out(&contacts("skip = [\"account name\", \"Mobile\"]\n")),
        [
            no_accounts,
            "Mobile=mobile: the flow skips it",
            "match first name + last name + mobile: `match`: no synced field is called `mobile`",
        ]
    );
    assert_eq!(
        left_out(&contacts("[[module.field]]\neast = \"Phone\"\nwest = \"cf_863\"\n")),
        [no_accounts, "Phone=phone: the row `Phone=cf_863` takes its place",]
    );
    // Reading a field once more does not take it from the preset.
    let twice = "[[module.field]]\neast = \"Phone\"\nwest = \"cf_863\"\ndirection = \"to-west\"\n";
    assert_eq!(left_out(&contacts(twice)), [no_accounts]);
}

#[test]
fn a_vanished_field_takes_its_default_row_along() {
    let document = Document::parse(&contacts("")).expect("valid");
    let mut east = left();
    east.fields.get_mut("Contacts").expect("contacts").retain(|field| field.name != "Fax");
    let pairs = resolve(&document, [&east, &right()], &functions(), Misfit::Refuse).expect("valid without it");
    assert_eq!(pairs[0].left_out[0].row, "Fax=fax");
    assert_eq!(pairs[0].left_out[0].why, "there is no field of `east` called `Fax`");
}

#[test]
fn fields_are_found_by_name_and_label() {
    check(&own("east = \"nick_name\"\nwest = \"note\"\n"), &[]);
    check(
        &own("east = \"NickName\"\nwest = \"cf_836\"\n"),
        &[
            "line 18, column 8: there is no field of `east` called `NickName`; did you mean `Nick_Name`?",
            "line 19, column 8: there is no field of `west` called `cf_836`; did you mean `cf_863`?",
        ],
    );
    check(
        &own("east = \"alias\"\nwest = \"cf_863\"\n"),
        &[
            "line 18, column 8: more than one field of `east` is called `alias`; use the API name: `Nick_Name`, `Pen_Name`",
        ],
    );
    check(
        &contacts("").replace("west = \"Contacts\"", "west = \"Contact\""),
        &["line 8, column 8: there is no module of `west` called `Contact`; did you mean `Contacts`?"],
    );
    check(
        &own("east = \"Sync_Key\"\nwest = \"cf_863\"\n"),
        &["line 18, column 8: `Sync_Key` of `east` holds the keys of new records; map another field"],
    );
    check(
        &contacts("skip = [\"Fex\"]\n"),
        &["line 9, column 9: `skip`: no synced field is called `Fex`; did you mean `Fax`?"],
    );
}

#[test]
fn kinds_must_fit_or_be_transformed() {
    check(&own("east = \"Score\"\nwest = \"cf_861\"\ndirection = \"to-west\"\n"), &[]);
    check(
        &own("east = \"Anniversary\"\nwest = \"cf_863\"\n"),
        &[
            "line 17, column 1: `Anniversary` of `east` (date) cannot become `cf_863` of `west` (text) as it is; \
         name a transform with `to-west`, or map another field",
            "line 17, column 1: `cf_863` of `west` (text) cannot become `Anniversary` of `east` (date) as it is; \
         name a transform with `to-east`, or map another field",
        ],
    );
    check(&own("east = \"Anniversary\"\nwest = \"cf_863\"\nto-west = \"join\"\ndirection = \"to-west\"\n"), &[]);
    check(
        &own("east = [\"Nick_Name\", \"Pen_Name\"]\nwest = \"cf_863\"\ndirection = \"to-west\"\n"),
        &[
            "line 17, column 1: 2 fields of `east` cannot become 1 of `west` as they are; name a transform for each way with `to-…`",
        ],
    );
    check(
        &own("east = \"Account_Name\"\nwest = \"cf_863\"\n"),
        &["line 17, column 1: `Account_Name` of `east` and `cf_863` of `west` do not refer to the same kind of thing"],
    );
    check(
        &own("east = \"Account_Name\"\nwest = \"account_id\"\ntransform = \"join\"\n"),
        &["line 17, column 1: owners and references take no transform; \
         owners go by e-mail and [owners.table], references by the records that are linked"],
    );
}

#[test]
fn read_only_fields_narrow_the_direction() {
    let pair = only_pair(&own("east = \"Full_Name\"\nwest = \"cf_863\"\n"));
    assert_eq!(row(&pair, "Full_Name=cf_863").direction, Direction::ToRight);
    assert_eq!(
        pair.warnings[0].to_string(),
        "line 17, column 1: `Full_Name` of `east` cannot be written; values only travel the other way"
    );
    check(
        &own("east = \"Full_Name\"\nwest = \"cf_863\"\ndirection = \"both\"\n"),
        &["line 20, column 13: `Full_Name` of `east` cannot be written; give the row another `direction`"],
    );
    check(
        &own("east = \"Full_Name\"\nwest = \"contact_no\"\n"),
        &[
            "line 17, column 1: `Full_Name` of `east` and `contact_no` of `west` cannot be written; map another field, or remove the row",
        ],
    );
}

#[test]
fn what_loses_information_needs_a_way_back() {
    let loyalty = "east = \"Loyalty_Level\"\nwest = \"cf_857\"\n";
    check(
        &own(&format!("{loyalty}values = {{ Gold = \"A\", Silver = \"A\" }}\n")),
        &["line 17, column 1: `Gold` and `Silver` both become `A`, so `A` has no way back; \
         say how with `back`, or make the row one-way with `direction`"],
    );
    for more in ["back = \"table\"\n", "back = \"keep\"\n", "back = { A = \"Gold\" }\n", "direction = \"to-west\"\n"] {
        check(&own(&format!("{loyalty}values = {{ Gold = \"A\", Silver = \"A\" }}\n{more}")), &[]);
    }
    check(
        &own("east = [\"Nick_Name\", \"Pen_Name\"]\nwest = \"cf_863\"\nto-west = \"join\"\n"),
        &["line 20, column 11: `join` cannot be undone, and the row goes both ways; \
         say how with `back`, or make the row one-way with `direction`"],
    );
    let split = own_row(
        "east = \"Nick_Name\"\nwest = [\"cf_859\", \"cf_863\"]\nto-west = { function = \"split\", settings = { separator = \" \" } }\n",
    );
    let back = split.to_left.expect("the inverse");
    assert_eq!((back.function.as_str(), back.settings.as_str()), ("join", r#"{"separator":" "}"#));
}

#[test]
fn transforms_are_known_and_take_the_right_number_of_fields() {
    let note = "east = \"Nick_Name\"\nwest = \"cf_863\"\n";
    check(
        &own(&format!("{note}to-west = \"jion\"\n")),
        &["line 20, column 11: there is no transform `jion`; did you mean `join`?"],
    );
    check(
        &own(&format!("{note}transform = \"trim\"\n")),
        &["line 20, column 13: several plugins have a transform `trim`; use `transforms/trim` or `acme/trim`"],
    );
    check(
        &own("east = [\"Nick_Name\", \"Pen_Name\"]\nwest = \"cf_863\"\nto-west = \"phone-digits\"\nback = \"keep\"\n"),
        &[
            "line 17, column 1: 1 field of `west` cannot become 2 of `east` as they are; name a transform for each way with `to-…`",
            "line 20, column 11: `phone-digits` reads 1 field, and the row has 2",
        ],
    );
}

#[test]
fn a_field_is_written_by_one_row() {
    let again = "east = \"Nick_Name\"\nwest = \"cf_863\"\n[[module.field]]\neast = \"Pen_Name\"\nwest = \"cf_863\"\n";
    check(
        &own(again),
        &["line 20, column 1: `cf_863` of `west` is written by two rows: `Nick_Name=cf_863` and `Pen_Name=cf_863`; \
         remove one, or make one go the other way with `direction`"],
    );
    check(&own(&format!("{again}direction = \"to-east\"\n")), &[]);
    let one_each = "east = \"Nick_Name\"\nwest = \"cf_863\"\ndirection = \"to-west\"\n\
                    [[module.field]]\neast = \"Nick_Name\"\nwest = \"cf_863\"\ndirection = \"to-east\"\n";
    check(&own(one_each), &["line 21, column 1: `Nick_Name=cf_863` is mapped twice; remove one of the two rows"]);
    let twice = format!("{}\n[[module]]\neast = \"Contacts\"\nwest = \"Contacts\"\n", contacts(""));
    check(
        &twice,
        &[
            "line 10, column 1: `Contacts` and `Contacts` are in the flow twice; keep one [[module]] and list all rows there",
        ],
    );
}

#[test]
fn new_records_need_their_mandatory_fields() {
    let leads = |direction: &str, owner: &str| {
        format!(
            "format = 1\nname = \"sales\"\nbetween = [\"east\", \"west\"]\nwinner = \"east\"\n[[module]]\neast = \"Leads\"\n\
             west = \"Leads\"\nfields = \"none\"\nmatch = [\"email\"]\ndirection = \"{direction}\"\n\
             [[module.field]]\neast = \"Last_Name\"\nwest = \"lastname\"\n[[module.field]]\neast = \"Email\"\nwest = \"email\"\n{owner}"
        )
    };
    let owner = "[[module.field]]\neast = \"Owner\"\nwest = \"assigned_user_id\"\n";
    check(
        &leads("both", owner),
        &["line 5, column 1: new records need `Company` of `east`, and no row gives it a value; \
         map it; with to-east = { function = \"constant\", settings = { value = \"…\" } } blanks are filled"],
    );
    check(&leads("to-west", owner), &[]);
    let pairs = resolve_text(&leads("to-west", "")).expect("an owner is not demanded");
    assert_eq!(
        pairs[0].warnings[0].message,
        "no row says who owns new records: `assigned_user_id` of `west` is not mapped"
    );
    let company = "[[module.field]]\neast = \"Company\"\nwest = \"company\"\nto-west = \"transforms/trim\"\n\
                   to-east = { function = \"constant\", settings = { value = \"none\" } }\n";
    check(&leads("both", &format!("{owner}{company}")), &[]);
}

#[test]
fn records_are_matched_by_plain_fields() {
    let unknown = &contacts("match = [\"emial\"]\n");
    check(unknown, &["line 9, column 10: `match`: no synced field is called `emial`; did you mean `Email`?"]);
    check(
        &contacts("match = [\"lead source\"]\n"),
        &[
            "line 9, column 10: `match`: the values of `lead source` cannot be compared, as the sides spell them differently; \
         use fields with plain values, or references to records that are matched before",
        ],
    );
    check(
        &own("east = \"Nick_Name\"\nwest = \"cf_863\"\n").replace("match = [\"last name\"]\n", ""),
        &["line 6, column 1: `match` is missing: records that are on both sides would be doubled; \
         say how to know them, such as match = [\"email + last name\"]; match = [] if none are"],
    );
    let none = own("east = \"Nick_Name\"\nwest = \"cf_863\"\n").replace("[\"last name\"]", "[]");
    assert!(only_pair(&none).mapping.match_rules.is_empty());
}

#[test]
fn own_values_are_kept_and_doubted() {
    let pair = only_pair(&own("east = \"Loyalty_Level\"\nwest = \"cf_857\"\nvalues = { Gold = \"AA\" }\n"));
    let warnings: Vec<&str> = pair.warnings.iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "`cf_857` of `west` has values without a counterpart in `Loyalty_Level` of `east`: `A`, `B`, `C`",
            "`cf_857` of `west` does not list `AA`",
            "`Loyalty_Level` of `east` has values without a counterpart in `cf_857` of `west`: `Silver`",
        ]
    );
    let to_right = row(&pair, "Loyalty_Level=cf_857").to_right.as_ref().expect("a table");
    assert_eq!(to_right.settings, r#"{"values":{"Gold":"AA"}}"#);
}

#[test]
fn without_a_preset_the_rows_are_listed() {
    let text = contacts("").replace("west = \"Contacts\"", "west = \"Leads\"");
    check(
        &text,
        &["line 6, column 1: there are no default fields for `Contacts` of `east` and `Leads` of `west`; \
         set fields = \"none\" and list them as [[module.field]]"],
    );
}

#[test]
fn a_rule_needs_values_that_it_can_judge() {
    let opt_out = |rule: &str| own(&format!("east = \"Email_Opt_Out\"\nwest = \"emailoptout\"\nwinner = \"{rule}\""));
    assert_eq!(only_pair(&opt_out("maximum")).mapping.rows[2].winner, Some(Winner::Maximum));
    assert_eq!(only_pair(&opt_out("west")).mapping.rows[2].winner, Some(Winner::Side(Side::Right)));
    check(
        &opt_out("union"),
        &[
            "line 20, column 10: `winner` = \"union\" is for lists on both sides, and `east` has yes or no, `west` yes or no; use \"east\", \"west\", \"newest\", \"non-empty\" or \"ask\"",
        ],
    );
    check(
        &own("east = \"Title\"\nwest = \"title\"\nwinner = \"maximum\""),
        &[
            "line 20, column 10: `winner` = \"maximum\" is for numbers, dates, times or yes and no on both sides, and `east` has text, `west` text; use \"east\", \"west\", \"newest\", \"non-empty\" or \"ask\"",
        ],
    );
}

#[test]
fn consent_once_withdrawn_stays_withdrawn() {
    let pair = only_pair(SALES);
    assert_eq!(row(&pair, "Email_Opt_Out=emailoptout").winner, Some(Winner::Maximum));
}

#[test]
fn a_winner_changes_no_agreement() {
    let hash = |lines: &str| own_row(&format!("east = \"Email_Opt_Out\"\nwest = \"emailoptout\"\n{lines}")).hash;
    assert_eq!(hash(""), hash("winner = \"maximum\""));
}

#[test]
fn what_was_matched_before_may_tell_who_is_who() {
    let pair = only_pair(&SALES.replacen("\"last name + mobile\"", "\"last name + organization\"", 1));
    let rule = &pair.mapping.match_rules[1];
    let names = |rows: &[usize]| rows.iter().map(|&row| pair.mapping.rows[row].key.0.clone()).collect::<Vec<_>>();
    assert_eq!(names(&rule.rows), ["Last_Name=lastname", "Account_Name=account_id"]);
    assert_eq!(names(&rule.guards), ["First_Name=firstname"], "the rest of the name must not contradict");
    check(
        &SALES.replacen("\"last name + mobile\"", "\"last name + Reporting_To\"", 1),
        &[
            "line 23, column 32: `match`: `Reporting_To` points to `Contacts`, which this flow does not match before; add a [[module]] for it, or match by other fields",
        ],
    );
}

#[test]
fn a_constant_is_held_against_its_field() {
    let constant = |lines: &str| own(lines);
    let row = own_row("west = \"emailoptout\"\nconstant = true");
    assert_eq!(
        (row.role, row.left.len(), row.direction),
        (Role::Constant(Value::Boolean(true)), 0, Direction::ToRight)
    );
    check(
        &constant("west = \"emailoptout\"\nconstant = \"soon\""),
        &["line 19, column 12: `emailoptout` of `west` (yes or no) cannot be given `soon`; write a value of that kind"],
    );
    check(
        &constant("west = \"account_id\"\nconstant = \"ACME\""),
        &[
            "line 19, column 12: `account_id` of `west` is a reference; owners of new records are named in [owners] fallback",
        ],
    );
}

#[test]
fn filters_are_held_against_the_fields_of_their_side() {
    let filtered =
        |filter: &str| SALES.replacen("skip   = [\"Fax\"]", &format!("skip   = [\"Fax\"]\nfilter = {{ {filter} }}"), 1);
    let pair = only_pair(&filtered("east = 'Title is empty', west = 'title = \"CEO\"'"));
    assert_eq!(pair.filters.each_ref().map(Option::is_some), [true, true]);
    let document = Document::parse(&filtered("south = 'Title is empty'")).expect_err("an unknown side");
    assert_eq!(document[0].message, "unknown key `south`");
}

#[test]
fn an_agreed_row_that_does_not_fit_any_more_rests() {
    let text = contacts("[[module.field]]\neast = \"Phone\"\nwest = \"cf_863\"\n");
    let document = Document::parse(&text).expect("valid TOML");
    let resolve_with = |west: &SideInfo, misfit: Misfit| {
        resolve(&document, [&left(), west], &functions(), misfit).map(|mut pairs| pairs.remove(0))
    };
    let whole = resolve_with(&right(), Misfit::Pause).expect("it fits");
    assert_eq!(row(&whole, "Phone=cf_863").direction, Direction::Both);
    assert!(whole.left_out.iter().all(|out| out.paused != Some(Origin::Own)));

    let mut west = right();
    west.fields.get_mut("Contacts").expect("contacts").retain(|field| field.name != "cf_863");
    let problems = resolve_with(&west, Misfit::Refuse).expect_err("a person who writes it now is told");
    assert!(problems[0].to_string().contains("cf_863"), "{}", problems[0]);
    let resting = resolve_with(&west, Misfit::Pause).expect("everything else goes on");
    let out: Vec<&LeftOut> = resting.left_out.iter().filter(|out| out.paused == Some(Origin::Own)).collect();
    assert_eq!(out.iter().map(|out| out.row.as_str()).collect::<Vec<_>>(), ["Phone=cf_863"]);
    // Nobody agreed to the default row that the own one took the place of.
    assert!(resting.mapping.rows.iter().all(|row| row.left.iter().all(|field| field.name != "Phone")));
    assert_eq!(resting.mapping.rows.len() + 1, whole.mapping.rows.len());
}

#[test]
fn an_agreed_row_goes_on_as_far_as_it_can() {
    let check = |direction: &str, expected: Option<Direction>| {
        let document =
            Document::parse(&own(&format!("east = \"Phone\"\nwest = \"cf_863\"\ndirection = \"{direction}\"\n")))
                .expect("valid TOML");
        let mut west = right();
        let fields = west.fields.get_mut("Contacts").expect("contacts");
        fields.iter_mut().find(|field| field.name == "cf_863").expect("it is there").read_only = true;
        let sides = [&left(), &west];
        assert!(
            resolve(&document, sides, &functions(), Misfit::Refuse).is_err() || direction == "to-east",
            "{direction}"
        );
        let pair = resolve(&document, sides, &functions(), Misfit::Pause).expect("the rest goes on").remove(0);
        let found = pair.mapping.rows.iter().find(|row| row.key.0 == "Phone=cf_863").map(|row| row.direction);
        assert_eq!(found, expected, "{direction}");
        let rests = pair.left_out.iter().any(|out| out.row == "Phone=cf_863" && out.paused == Some(Origin::Own));
        assert_eq!(rests, expected.is_none(), "{direction}");
    };
    check("both", Some(Direction::ToLeft));
    check("to-east", Some(Direction::ToLeft));
    check("to-west", None);
}
