//! A private, plain-http or odd-port address is reached only with the operator's grant of exactly that address.

use crmsync_sandbox::people::Side;
use crmsync_tests::Outcome;
use crmsync_tests::crms::{Crm, Crms};
use crmsync_tests::product::{Answer, finish};
use crmsync_tests::workplace::Folder;

use crate::product::{product, run};

struct Desk {
    crms: Crms,
    folder: Folder,
}

impl Desk {
    async fn open() -> Desk {
        Desk { crms: Crms::here(10, 1).await.unwrap(), folder: Folder::make().unwrap() }
    }

    fn crm(&self) -> &Crm {
        self.crms.side(Side::Vtiger)
    }

    async fn add(&self, grants: &[&str]) -> Outcome<Answer> {
        let base_url = format!("base_url={}", self.crm().url);
        let username = format!("username={}", self.crm().login("username"));
        let mut arguments =
            vec!["connection", "add", "vtiger", "--plugin", "vtiger", "--set", &base_url, "--set", &username];
        arguments.extend(["--secret", "access_key", "--json"]);
        for grant in grants {
            arguments.extend(["--grant", grant]);
        }
        let mut command = product().command(&arguments);
        command
            .env("CRMSYNC_DATA", self.folder.path())
            .env("CRMSYNC_SECRET_ACCESS_KEY", self.crm().login("access_key"));
        finish(&mut command, &arguments).await
    }

    async fn log_in(&self) -> Answer {
        product().ask(self.folder.path(), &["connection", "login", "vtiger", "--json"]).await.unwrap()
    }
}

#[test]
fn without_a_grant_nothing_leaves() {
    run(async {
        let desk = Desk::open().await;
        assert_eq!(desk.add(&[]).await.unwrap().code, 0);
        let answer = desk.log_in().await;
        assert_eq!((answer.code, answer.error_code().as_str()), (2, "connection.denied"), "{}", answer.stdout);
        assert!(answer.json()["error"]["hint"].as_str().unwrap().contains("--grant"), "{}", answer.stdout);
        assert!(desk.crms.calls(Side::Vtiger).await.unwrap().is_empty(), "a call was made");
    });
}

#[test]
fn a_grant_of_another_port_opens_nothing() {
    run(async {
        let desk = Desk::open().await;
        let other = desk.crms.side(Side::Zoho).address().to_owned();
        assert_eq!(desk.add(&[&other]).await.unwrap().code, 0);
        let answer = desk.log_in().await;
        assert_eq!((answer.code, answer.error_code().as_str()), (2, "connection.denied"), "{}", answer.stdout);
        assert!(desk.crms.calls(Side::Vtiger).await.unwrap().is_empty(), "a call was made");
    });
}

#[test]
fn with_the_grant_of_this_address_it_works() {
    run(async {
        let desk = Desk::open().await;
        let address = desk.crm().address().to_owned();
        assert_eq!(desk.add(&[&address]).await.unwrap().code, 0);
        let answer = desk.log_in().await;
        assert_eq!(answer.code, 0, "{} {}", answer.stdout, answer.stderr);
        assert_eq!(answer.json()["user_name"], "admin");
    });
}

#[test]
fn a_grant_that_is_no_address_is_wrong_input() {
    run(async {
        let desk = Desk::open().await;
        let answer = desk.add(&["localhost"]).await.unwrap();
        assert_eq!((answer.code, answer.error_code().as_str()), (2, "connection.address"), "{}", answer.stdout);
    });
}
