//! The pages of the accounts server that a person sees.

use std::fmt::Write;

/// The page that asks the signed-in user whether the application may have the scopes. Its form posts everything that
/// the application asked for, with `decision` as `accept` or `reject`.
pub(super) fn page(scopes: &[String], params: &[(String, String)]) -> String {
    let mut hidden = String::new();
    for (name, value) in params {
        // Writing to a string cannot fail.
        let _ = writeln!(hidden, r#"<input type="hidden" name="{}" value="{}">"#, escape(name), escape(value));
    }
    let items: String = scopes.iter().map(|scope| format!("<li>{}</li>", escape(scope))).collect();
    frame(
        "An application asks for access",
        &format!(
            r#"<p>Signed in as <b>office@acme.example</b> (ACME Sandbox).</p>
<p>The application <b>CRMSync</b> would like to use:</p><ul>{items}</ul>
<form method="post" action="/oauth/v2/auth">
{hidden}<button name="decision" value="accept">Accept</button>
<button name="decision" value="reject">Reject</button>
</form>"#
        ),
    )
}

/// A page that says why there is nothing to consent to.
pub(super) fn problem(message: &str) -> String {
    frame("Something is not right", &format!("<p>{}</p>", escape(message)))
}

fn frame(title: &str, content: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title></head>\n<body><h1>{title}</h1>\n{content}\n</body></html>\n"
    )
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
