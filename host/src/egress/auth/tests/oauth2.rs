use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use secrecy::ExposeSecret;

use crate::egress::testing::{
    Crm, Intents, MemoryVault, NOW_MS, Reply, Seen, door, door_at, get, grant, pairs, post, reading, writing,
};
use crate::egress::{AuthSpec, Error, Grant, Payload, Refusal};

const OAUTH: &str = r#"{"kind":"oauth2","scheme":"Crm-token","scope_separator":",","scopes":["read.all","write.all"],
    "authorize_path":"/oauth/auth","token_path":"/oauth/token","revoke_path":"/oauth/revoke","host":"accounts",
    "authorize_parameters":{"access_type":"offline"},
    "data_centres":{"us":{"accounts":"https://accounts.example.com","api":"https://api.example.com"},
                    "eu":{"accounts":"https://accounts.example.eu","api":"https://api.example.eu"}},
    "data_centre_parameter":"location","default_data_centre":"us","error_pointer":"/error",
    "token_errors":{"invalid_code":"logged-out","invalid_client":"configuration","Access Denied":"throttled"},
    "throttle_ms":600000,"refresh_early_ms":300000,"default_lifetime_ms":3600000,
    "expired":{"statuses":[401],"code_pointer":"/code","codes":["INVALID_TOKEN"]}}"#;

const HOUR_MS: u64 = 3_600_000;

fn vault(access_token: &str, expires_at_ms: u64) -> MemoryVault {
    MemoryVault::with(
        &[("client_secret", "client-secret"), ("refresh_token", "refresh-1"), ("access_token", access_token)],
        &[("data_centre", "us"), ("expires_at_ms", &expires_at_ms.to_string())],
    )
}

/// A CRM that issues `access-1`, `access-2`, … and accepts only the one issued last.
async fn issuing() -> Crm {
    let issued = AtomicU64::new(0);
    Crm::start(move |seen| match seen.target.as_str() {
        "/oauth/token" => token(&format!("access-{}", issued.fetch_add(1, Ordering::Relaxed) + 1)),
        _ => only(seen, &format!("access-{}", issued.load(Ordering::Relaxed))),
    })
    .await
}

fn token(name: &str) -> Reply {
    Reply::ok(&format!(r#"{{"access_token":"{name}","token_type":"Bearer","expires_in":3600}}"#))
}

fn only(seen: &Seen, token: &str) -> Reply {
    match seen.headers["authorization"] == format!("Crm-token {token}") {
        true => Reply::ok("{}"),
        false => Reply::json(401, r#"{"code":"INVALID_TOKEN"}"#),
    }
}

async fn refusing(status: u16, body: &'static str) -> Crm {
    Crm::start(move |seen| match seen.target.as_str() {
        "/oauth/token" => Reply::json(status, body),
        _ => only(seen, "access-0"),
    })
    .await
}

#[tokio::test]
async fn a_token_that_lasts_is_used_as_it_is() {
    let crm = Crm::start(|seen| only(seen, "access-0")).await;
    let door = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS + HOUR_MS));
    assert!(door.send(&reading(), get("/v1/x")).await.is_ok());
    assert_eq!(crm.seen().len(), 1);
    assert!(door.facts().contains(&("data-centre".to_owned(), "us".to_owned())));
}

#[tokio::test]
async fn a_token_is_refreshed_before_its_end() {
    let crm = issuing().await;
    let clock = Arc::new(AtomicU64::new(NOW_MS));
    let vault = vault("access-0", NOW_MS + 300_000);
    let door = door_at(grant(&crm, OAUTH), &vault, &clock);
    assert!(door.send(&reading(), get("/v1/x")).await.is_ok());
    let asked = &crm.seen()[0];
    assert_eq!(
        asked.body,
        "grant_type=refresh_token&refresh_token=refresh-1&client_id=client-1&client_secret=client-secret"
    );
    let kept = vault.secrets();
    assert_eq!(kept.values["access_token"].expose_secret(), "access-1");
    assert_eq!(kept.values["refresh_token"].expose_secret(), "refresh-1");
    assert_eq!(kept.facts["expires_at_ms"], (NOW_MS + HOUR_MS).to_string());
    assert!(!kept.facts.contains_key("login_claimed_until_ms"));
    clock.fetch_add(HOUR_MS - 300_000, Ordering::Relaxed);
    assert!(door.send(&reading(), get("/v1/x")).await.is_ok());
    assert_eq!((crm.count("/oauth/token"), crm.seen().len(), door.counters().auth), (2, 4, 2));
}

#[tokio::test]
async fn a_refused_token_costs_one_refresh_and_a_write_goes_again() {
    let crm = issuing().await;
    let door = door(grant(&crm, OAUTH), &vault("ended", NOW_MS + HOUR_MS));
    let intents = Arc::new(Intents::default());
    assert!(door.send(&writing(&intents), post("/v1/x", Payload::Json(b"{}".to_vec()))).await.is_ok());
    assert_eq!((crm.count("/v1/x"), crm.count("/oauth/token")), (2, 1));
    assert_eq!((intents.admitted.load(Ordering::Relaxed), intents.retracted.load(Ordering::Relaxed)), (1, 0));
}

#[tokio::test]
async fn a_token_refused_twice_ends_the_login() {
    let crm = Crm::start(|seen| match seen.target.as_str() {
        "/oauth/token" => token("access-1"),
        _ => Reply::json(401, r#"{"code":"INVALID_TOKEN"}"#),
    })
    .await;
    let door = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS + HOUR_MS));
    let intents = Arc::new(Intents::default());
    let outcome = door.send(&writing(&intents), post("/v1/x", Payload::None)).await;
    assert_eq!(outcome.err(), Some(Refusal::LoggedOut));
    assert_eq!((crm.count("/v1/x"), crm.count("/oauth/token")), (2, 1));
    assert_eq!(intents.retracted.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_missing_permission_costs_no_token() {
    let crm = Crm::start(|_| Reply::json(401, r#"{"code":"SCOPE_MISSING"}"#)).await;
    let door = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS + HOUR_MS));
    assert_eq!(door.send(&reading(), get("/v1/x")).await.expect("it is an answer").status, 401);
    assert_eq!(crm.seen().len(), 1);
}

#[tokio::test]
async fn refreshes_are_single_flight_in_a_host_and_among_hosts() {
    let crm = issuing().await;
    let vault = vault("access-0", NOW_MS);
    let hosts = [door(grant(&crm, OAUTH), &vault), door(grant(&crm, OAUTH), &vault), door(grant(&crm, OAUTH), &vault)];
    let scope = reading();
    let sends = (0..12).map(|index| hosts[index % 3].send(&scope, get("/v1/x")));
    let outcomes = futures_util::future::join_all(sends).await;
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!((crm.count("/oauth/token"), crm.count("/v1/x")), (1, 12));
}

#[tokio::test]
async fn an_issued_token_survives_the_caller() {
    let crm = issuing().await;
    let vault = vault("access-0", NOW_MS);
    let door = door(grant(&crm, OAUTH), &vault);
    let gone = tokio::time::timeout(std::time::Duration::ZERO, door.send(&reading(), get("/v1/x"))).await;
    assert!(gone.is_err());
    assert!(door.send(&reading(), get("/v1/x")).await.is_ok());
    assert!(crm.count("/oauth/token") <= 1);
    assert_eq!(vault.secrets().values["access_token"].expose_secret(), "access-1");
}

#[tokio::test]
async fn errors_are_recognised_whatever_their_status() {
    let check = async |status: u16, body: &'static str, expected: Refusal, asked: usize| {
        let crm = refusing(status, body).await;
        let door = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS));
        for _ in 0..2 {
            assert_eq!(door.send(&reading(), get("/v1/x")).await.err(), Some(expected.clone()), "{body}");
        }
        assert_eq!(crm.seen().len(), asked, "{body}");
    };
    check(200, r#"{"error":"invalid_code"}"#, Refusal::LoggedOut, 1).await;
    check(400, r#"{"error":"invalid_code"}"#, Refusal::LoggedOut, 1).await;
    check(200, r#"{"error":"invalid_client"}"#, Refusal::LoggedOut, 1).await;
    check(400, r#"{"error":"Access Denied","status":"failure"}"#, Refusal::RateLimited(600_000), 1).await;
    let odd =
        Refusal::NotSent("the token could not be refreshed: the token endpoint answers `general_error`".to_owned());
    check(200, r#"{"error":"general_error"}"#, odd, 2).await;
    let down = Refusal::NotSent("the token could not be refreshed: HTTP 502 without a token".to_owned());
    check(502, "<html>Bad gateway</html>", down, 2).await;
}

#[tokio::test]
async fn a_token_with_some_life_left_outlives_a_failed_refresh() {
    for body in [r#"{"error":"Access Denied"}"#, r#"{"error":"general_error"}"#] {
        let crm = refusing(200, body).await;
        let door = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS + 60_000));
        assert!(door.send(&reading(), get("/v1/x")).await.is_ok(), "{body}");
    }
}

#[tokio::test]
async fn a_loop_of_refusals_does_not_use_up_the_tokens() {
    let crm = Crm::start(|seen| match seen.target.as_str() {
        "/oauth/token" => token("access-1"),
        _ => Reply::json(401, ""),
    })
    .await;
    let door = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS + HOUR_MS));
    for _ in 0..20 {
        let _ = door.send(&reading(), get("/v1/x")).await;
    }
    assert!(crm.count("/oauth/token") <= 4, "{}", crm.count("/oauth/token"));
}

#[tokio::test]
async fn a_new_login_ends_a_refused_one() {
    let crm = Crm::start(|seen| match seen.target.as_str() {
        "/oauth/token" if seen.body.contains("refresh-2") => token("access-1"),
        "/oauth/token" => Reply::ok(r#"{"error":"invalid_code"}"#),
        _ => only(seen, "access-1"),
    })
    .await;
    let vault = vault("access-0", NOW_MS);
    let door = door(grant(&crm, OAUTH), &vault);
    assert_eq!(door.send(&reading(), get("/v1/x")).await.err(), Some(Refusal::LoggedOut));
    vault.set("refresh_token", "refresh-2");
    assert!(door.send(&reading(), get("/v1/x")).await.is_ok());
}

#[tokio::test]
async fn consent_starts_at_the_default_data_centre() {
    let crm = issuing().await;
    let mut grant = Grant { origin_overrides: Default::default(), ..grant(&crm, OAUTH) };
    let url = door(grant.clone(), &vault("a", 0))
        .authorize_url("http://127.0.0.1:8765/callback", "st&te")
        .expect("it is complete");
    assert_eq!(
        url.as_str(),
        "https://accounts.example.com/oauth/auth?response_type=code&client_id=client-1&state=st%26te\
         &redirect_uri=http%3A%2F%2F127.0.0.1%3A8765%2Fcallback&scope=read.all%2Cwrite.all&access_type=offline"
    );
    grant.settings.clear();
    let missing = door(grant, &vault("a", 0)).authorize_url("http://127.0.0.1:8765/callback", "s");
    assert!(matches!(missing, Err(Error::Settings(_))));
}

#[tokio::test]
async fn a_code_becomes_tokens_at_a_data_centre_of_the_table() {
    let crm = Crm::start(|seen| match seen.body.contains("code=good") {
        true => Reply::ok(
            r#"{"access_token":"access-9","refresh_token":"refresh-9","token_type":"Bearer","expires_in":60}"#,
        ),
        false if seen.body.contains("code=short") => token("access-8"),
        false => Reply::ok(r#"{"error":"invalid_code"}"#),
    })
    .await;
    let vault = MemoryVault::with(&[("client_secret", "client-secret")], &[]);
    let door = door(grant(&crm, OAUTH), &vault);
    let callback = "http://127.0.0.1:8765/callback";
    let exchange = async |code: &str, location: &str| {
        let words = [("location", location), ("accounts-server", "https://evil.example")];
        door.exchange_code(Some(callback), code, &pairs(&words)).await
    };
    assert_eq!(exchange("good", "evil").await, Err(Error::UnknownDataCentre("evil".to_owned())));
    assert_eq!(crm.seen().len(), 0);
    assert_eq!(exchange("bad", "eu").await, Err(Error::LoginRefused("invalid_code".to_owned())));
    assert_eq!(exchange("short", "eu").await, Err(Error::NoRefreshToken));
    assert_eq!(exchange("good", "eu").await, Ok(()));
    let kept = vault.secrets();
    assert_eq!(kept.values["refresh_token"].expose_secret(), "refresh-9");
    assert_eq!((kept.facts["data_centre"].as_str(), kept.facts["expires_at_ms"].as_str()), ("eu", "1800000060000"));
    assert!(door.facts().contains(&("data-centre".to_owned(), "eu".to_owned())));
    let last = crm.seen().pop().expect("there were requests");
    assert!(last.body.contains("redirect_uri=http%3A%2F%2F127.0.0.1%3A8765%2Fcallback"), "{}", last.body);

    door.revoke().await.expect("the CRM answers");
    assert_eq!(crm.count("token=refresh-9"), 1);
    assert!(!vault.secrets().values.contains_key("refresh_token"));
    assert_eq!(door.send(&reading(), get("/v1/x")).await.err(), Some(Refusal::LoggedOut));
}

#[tokio::test]
async fn a_token_endpoint_s_words_are_short_and_hold_no_secret() {
    let check = async |body: &'static str, expected: &str| {
        let crm = refusing(400, body).await;
        let refusal = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS)).send(&reading(), get("/v1/x")).await;
        let Err(Refusal::NotSent(reason)) = refusal else { panic!("{refusal:?}") };
        assert!(reason.contains(expected) && !reason.contains("client-secret"), "{reason}");
    };
    check(r#"{"error":"odd_code"}"#, "`odd_code`").await;
    check(r#"{"error":"client-secret"}"#, "`*************`").await;
    check(r#"{"error":"you sent client_secret=client-secret"}"#, "HTTP 400").await;
}

#[tokio::test]
async fn a_token_endpoint_that_says_wait_is_left_alone() {
    let crm = Crm::start(|seen| match seen.target.as_str() {
        "/oauth/token" => Reply::Answer(503, vec![("retry-after", "60".to_owned())], Vec::new()),
        _ => Reply::ok("{}"),
    })
    .await;
    let door = door(grant(&crm, OAUTH), &vault("access-0", NOW_MS));
    for _ in 0..2 {
        assert_eq!(door.send(&reading(), get("/v1/x")).await.err(), Some(Refusal::RateLimited(60_000)));
    }
    assert_eq!(crm.seen().len(), 1);
}

/// Without an override the hosts come from the row of the table, and these are not reachable here without a grant of their address.
#[tokio::test]
async fn hosts_come_from_the_table() {
    let crm = issuing().await;
    let mut grant = Grant { origin_overrides: Default::default(), addresses: Vec::new(), ..grant(&crm, OAUTH) };
    let table = OAUTH
        .replace("https://api.example.eu", "https://10.1.2.3")
        .replace("https://accounts.example.eu", "https://10.1.2.4");
    grant.auth = serde_json::from_str::<AuthSpec>(&table).expect("it is well formed");
    let vault = MemoryVault::with(
        &[("client_secret", "s"), ("refresh_token", "r"), ("access_token", "a")],
        &[("data_centre", "eu"), ("expires_at_ms", "0")],
    );
    let Err(Refusal::Denied(reason)) = door(grant.clone(), &vault).send(&reading(), get("/v1/x")).await else {
        panic!("a private address is refused")
    };
    assert!(reason.contains("10.1.2.3:443"), "{reason}");
    // The same checks hold for the host's own token calls.
    grant.origin_overrides =
        [("api".to_owned(), format!("http://{}", crm.address).parse().expect("it is an address"))].into();
    grant.addresses = vec![crm.address];
    let Err(Refusal::NotSent(reason)) = door(grant, &vault).send(&reading(), get("/v1/x")).await else {
        panic!("a private address is refused")
    };
    assert!(reason.contains("10.1.2.4:443"), "{reason}");
    assert_eq!(crm.seen().len(), 0);
}
