//! Secrets stay where they are sealed: not in the database, not in the sync log, not in a log at its most talkative. (What plugins can
//! see of them is tested in the runtime's room.)

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use crmsync::app::LOCAL_TENANT;
use crmsync_sandbox::people::Side;
use crmsync_tests::crms::{Crms, SIDES, name};
use crmsync_tests::product::finish;
use crmsync_tests::workplace::{FLOW, Workplace};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret;

use crate::product::{product, run};

const QUIESCE_MS: u64 = 700;
/// Shorter values (a flag, a number) would be found by chance.
const SECRET_CHARS_MIN: usize = 12;

/// Every secret that is live now, with what it is.
async fn live(workplace: &Workplace) -> Vec<(String, String)> {
    let zoho = workplace.crms.side(Side::Zoho);
    let vtiger = workplace.crms.side(Side::Vtiger);
    let mut secrets = vec![
        ("client secret".to_owned(), zoho.login("client_secret").to_owned()),
        ("access key".to_owned(), vtiger.login("access_key").to_owned()),
    ];
    for side in SIDES {
        let (_, kept) = workplace.app.vault().load(LOCAL_TENANT, name(side)).await.unwrap().unwrap();
        let values = kept
            .values
            .iter()
            .map(|(what, value)| (format!("{} {what}", name(side)), value.expose_secret().to_owned()));
        secrets.extend(values.filter(|(_, value)| value.len() >= SECRET_CHARS_MIN));
    }
    secrets
}

/// The spellings in which a secret could be written down.
fn spellings(secret: &str) -> Vec<Vec<u8>> {
    let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
    vec![
        secret.as_bytes().to_vec(),
        STANDARD_NO_PAD.encode(secret).into_bytes(),
        URL_SAFE_NO_PAD.encode(secret).into_bytes(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string().into_bytes(),
        hex.to_uppercase().into_bytes(),
        hex.into_bytes(),
    ]
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[test]
fn no_secret_is_written_down() {
    run(async {
        let crms = Crms::here(20, 5).await.unwrap();
        let workplace = Workplace::open(crms, QUIESCE_MS).await.unwrap();
        workplace.preview_and_approve().await.unwrap();
        // The runs log in again, so that logins happen while everything is logged.
        for side in SIDES {
            let expiry =
                serde_json::json!({ "faults": [{ "on": { "kind": "read" }, "do": { "type": "expire_session" } }] });
            workplace.crms.faults(side, &expiry).await.unwrap();
        }
        let before = live(&workplace).await;
        let data = workplace.data();
        let run = ["flow", "run", FLOW, "--json"];
        let mut talkative = product().command(run);
        let ran = finish(talkative.env("CRMSYNC_DATA", &data).env("CRMSYNC_LOG", "debug"), &run).await.unwrap();
        assert_eq!(ran.code, 0, "{} {}", ran.stdout, ran.stderr);
        let log = product().ask(&data, &["log", FLOW, "--most", "1000000", "--json"]).await.unwrap();
        assert!(log.json().as_array().is_some_and(|lines| !lines.is_empty()), "{}", log.stdout);

        let mut places = vec![
            ("the sync log".to_owned(), log.stdout.into_bytes()),
            ("the run's answer".to_owned(), ran.stdout.into_bytes()),
            ("the debug log".to_owned(), ran.stderr.into_bytes()),
        ];
        let mut folders = vec![data];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => places.push((path.display().to_string(), std::fs::read(&path).unwrap())),
                }
            }
        }
        assert!(
            places.iter().any(|(place, bytes)| place.contains(".db") && bytes.len() > 10_000),
            "the database, or what was written ahead of it, is there"
        );
        let secrets: Vec<(String, String)> = before.into_iter().chain(live(&workplace).await).collect();
        assert!(
            secrets.iter().any(|(what, _)| what.ends_with("access_token")),
            "{:?}",
            secrets.iter().map(|(what, _)| what)
        );
        for (what, secret) in &secrets {
            assert!(secret.len() >= SECRET_CHARS_MIN, "{what} is too short to be looked for");
            for (place, bytes) in &places {
                let found = spellings(secret).iter().any(|spelling| contains(bytes, spelling));
                assert!(!found, "{what} is in {place}");
            }
        }
    });
}

#[test]
fn every_spelling_would_be_found() {
    for spelling in spellings("Hush/hush+1234") {
        assert!(contains(&[b"before ", spelling.as_slice(), b" behind"].concat(), &spelling));
    }
    assert!(spellings("ab").contains(&b"6162".to_vec()) && spellings("a/b").contains(&b"a%2Fb".to_vec()));
}
