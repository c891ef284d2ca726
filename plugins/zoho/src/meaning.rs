//! What the standard fields mean, in the open codes of the contract, so that a mapping to any other CRM can be suggested.

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
        "Home_Phone" => "phone-home",
        "Other_Phone" => "phone-other",
        "Account_Name" => "organization",
        "Title" => "job-title",
        "Department" => "department",
        "Date_of_Birth" => "birth-date",
        "Reporting_To" => "reports-to",
        "Assistant" => "assistant-name",
        "Asst_Phone" => "assistant-phone",
        "Mailing_Street" => "mailing-street",
        "Mailing_City" => "mailing-city",
        "Mailing_State" => "mailing-region",
        "Mailing_Zip" => "mailing-postal-code",
        "Mailing_Country" => "mailing-country",
        "Other_Street" => "other-street",
        "Other_City" => "other-city",
        "Other_State" => "other-region",
        "Other_Zip" => "other-postal-code",
        "Other_Country" => "other-country",
        _ => person(field),
    }
}

fn lead(field: &str) -> &'static str {
    match field {
        "Company" => "company",
        "Designation" => "job-title",
        "Lead_Status" => "lead-status",
        "Website" => "website",
        "Industry" => "industry",
        "Annual_Revenue" => "annual-revenue",
        "Rating" => "rating",
        "No_of_Employees" => "employees",
        "Street" => "mailing-street",
        "City" => "mailing-city",
        "State" => "mailing-region",
        "Zip_Code" => "mailing-postal-code",
        "Country" => "mailing-country",
        _ => person(field),
    }
}

fn person(field: &str) -> &'static str {
    match field {
        "Salutation" => "salutation",
        "First_Name" => "given-name",
        "Last_Name" => "family-name",
        "Full_Name" => "full-name",
        "Email" => "email",
        "Secondary_Email" => "email-2",
        "Phone" => "phone-work",
        "Mobile" => "phone-mobile",
        "Lead_Source" => "lead-source",
        "Email_Opt_Out" => "email-opt-out",
        _ => any(field),
    }
}

fn organization(field: &str) -> &'static str {
    match field {
        "Account_Name" => "name",
        "Phone" => "phone-work",
        "Website" => "website",
        "Ticker_Symbol" => "ticker-symbol",
        "Parent_Account" => "parent",
        "Employees" => "employees",
        "Ownership" => "ownership",
        "Rating" => "rating",
        "Industry" => "industry",
        "SIC_Code" => "sic-code",
        "Account_Type" => "organization-type",
        "Annual_Revenue" => "annual-revenue",
        "Billing_Street" => "billing-street",
        "Billing_City" => "billing-city",
        "Billing_State" => "billing-region",
        "Billing_Code" => "billing-postal-code",
        "Billing_Country" => "billing-country",
        "Shipping_Street" => "shipping-street",
        "Shipping_City" => "shipping-city",
        "Shipping_State" => "shipping-region",
        "Shipping_Code" => "shipping-postal-code",
        "Shipping_Country" => "shipping-country",
        _ => any(field),
    }
}

fn any(field: &str) -> &'static str {
    match field {
        "Fax" => "fax",
        "Description" => "description",
        "Owner" => "owner",
        "Created_Time" => "created-time",
        "Modified_Time" => "modified-time",
        "Created_By" => "created-by",
        "Modified_By" => "modified-by",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn a_name_means_something_else_in_another_module() {
        assert_eq!(of("Contacts", "Account_Name"), "organization");
        assert_eq!(of("Accounts", "Account_Name"), "name");
        assert_eq!(of("Leads", "Owner"), "owner");
        assert_eq!(of("Contacts", "Loyalty_Level"), "");
        assert_eq!(of("Deals", "Owner"), "");
    }
}
