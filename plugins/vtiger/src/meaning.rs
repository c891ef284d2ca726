//! What the fields of a stock Vtiger mean, in the open codes of the contract, so that a mapping to any other CRM can be
//! suggested.

/// The meaning of a module's field, or "" if it is a custom field or has no counterpart elsewhere.
pub(crate) fn of(module: &str, field: &str) -> &'static str {
    match module {
        "Contacts" => contact(field),
        "Leads" => lead(field),
        "Accounts" => organization(field),
        _ => "",
    }
}

fn contact(field: &str) -> &'static str {
    match field {
        "phone" => "phone-work",
        "homephone" => "phone-home",
        "otherphone" => "phone-other",
        "account_id" => "organization",
        "title" => "job-title",
        "department" => "department",
        "birthday" => "birth-date",
        "contact_id" => "reports-to",
        "assistant" => "assistant-name",
        "assistantphone" => "assistant-phone",
        "donotcall" => "do-not-call",
        "mailingstreet" => "mailing-street",
        "mailingcity" => "mailing-city",
        "mailingstate" => "mailing-region",
        "mailingzip" => "mailing-postal-code",
        "mailingcountry" => "mailing-country",
        "mailingpobox" => "mailing-po-box",
        "otherstreet" => "other-street",
        "othercity" => "other-city",
        "otherstate" => "other-region",
        "otherzip" => "other-postal-code",
        "othercountry" => "other-country",
        "otherpobox" => "other-po-box",
        _ => person(field),
    }
}

fn lead(field: &str) -> &'static str {
    match field {
        "phone" => "phone-work",
        "company" => "company",
        "designation" => "job-title",
        "leadstatus" => "lead-status",
        "website" => "website",
        "industry" => "industry",
        "annualrevenue" => "annual-revenue",
        "rating" => "rating",
        "noofemployees" => "employees",
        "lane" => "mailing-street",
        "city" => "mailing-city",
        "state" => "mailing-region",
        "code" => "mailing-postal-code",
        "country" => "mailing-country",
        "pobox" => "mailing-po-box",
        _ => person(field),
    }
}

fn person(field: &str) -> &'static str {
    match field {
        "salutationtype" => "salutation",
        "firstname" => "given-name",
        "lastname" => "family-name",
        "email" => "email",
        "secondaryemail" => "email-2",
        "mobile" => "phone-mobile",
        "leadsource" => "lead-source",
        _ => any(field),
    }
}

fn organization(field: &str) -> &'static str {
    match field {
        "accountname" => "name",
        "phone" => "phone-work",
        "otherphone" => "phone-other",
        "website" => "website",
        "tickersymbol" => "ticker-symbol",
        "account_id" => "parent",
        "email1" => "email",
        "email2" => "email-2",
        "employees" => "employees",
        "ownership" => "ownership",
        "rating" => "rating",
        "industry" => "industry",
        "siccode" => "sic-code",
        "accounttype" => "organization-type",
        "annual_revenue" => "annual-revenue",
        "bill_street" => "billing-street",
        "bill_city" => "billing-city",
        "bill_state" => "billing-region",
        "bill_code" => "billing-postal-code",
        "bill_country" => "billing-country",
        "bill_pobox" => "billing-po-box",
        "ship_street" => "shipping-street",
        "ship_city" => "shipping-city",
        "ship_state" => "shipping-region",
        "ship_code" => "shipping-postal-code",
        "ship_country" => "shipping-country",
        "ship_pobox" => "shipping-po-box",
        _ => any(field),
    }
}

fn any(field: &str) -> &'static str {
    match field {
        "fax" => "fax",
        "emailoptout" => "email-opt-out",
        "description" => "description",
        "assigned_user_id" => "owner",
        "createdtime" => "created-time",
        "modifiedtime" => "modified-time",
        "modifiedby" => "modified-by",
        "source" => "record-source",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn one_meaning_belongs_to_one_field() {
        let stock = [
            (
                "Contacts",
                "firstname lastname salutationtype email secondaryemail phone mobile homephone otherphone fax account_id title \
              department birthday contact_id assistant assistantphone emailoptout mailingstreet mailingcity mailingstate mailingzip \
              mailingcountry mailingpobox otherstreet othercity otherstate otherzip othercountry otherpobox description \
              assigned_user_id leadsource donotcall",
            ),
            (
                "Leads",
                "firstname lastname salutationtype email secondaryemail phone mobile fax company designation leadstatus website \
              industry annualrevenue rating noofemployees lane city state code country pobox leadsource description",
            ),
            (
                "Accounts",
                "accountname phone otherphone fax website email1 email2 account_id tickersymbol employees ownership rating \
              industry siccode accounttype annual_revenue bill_street ship_street bill_code ship_code description",
            ),
        ];
        for (module, fields) in stock {
            let mut meanings: Vec<&str> = fields.split_whitespace().map(|field| of(module, field)).collect();
            assert!(meanings.iter().all(|meaning| !meaning.is_empty()), "{module}");
            let fields = meanings.len();
            meanings.sort_unstable();
            meanings.dedup();
            assert_eq!(meanings.len(), fields, "{module}");
        }
        assert_eq!(of("Contacts", "cf_901"), "");
        assert_eq!(of("Invoice", "subject"), "");
    }
}
