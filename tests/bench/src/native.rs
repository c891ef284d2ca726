//! The connectors' first read, written as a program of its own: `reqwest`, `serde_json` and typed structs, the same requests in the
//! same order, the same records at the end.

use crmsync::engine::RemoteRecord;
use crmsync_plugin::time;
use reqwest::Client;
use url::Url;

use super::Failure;
use super::wire::{VtigerContact, VtigerPage, ZohoContact, ZohoPage};
use super::world::NativeLogin;

const ZOHO_PAGE_RECORDS: &str = "200";
const VTIGER_PAGE_RECORDS: usize = 100;

/// All contacts of Zoho: in the order of their changes, each page from the second at which the one before ended; then what was
/// deleted meanwhile, and how many there are.
pub(super) async fn read_zoho(http: &Client, login: &NativeLogin) -> Result<Vec<RemoteRecord>, Failure> {
    let api = format!("{}/crm/v8/Contacts", login.url);
    let fields = format!("{},Modified_Time", ZohoContact::FIELDS.join(","));
    let list = Url::parse_with_params(
        &api,
        [
            ("fields", fields.as_str()),
            ("per_page", ZOHO_PAGE_RECORDS),
            ("sort_by", "Modified_Time"),
            ("sort_order", "asc"),
        ],
    )?;
    let (mut records, mut since) = (Vec::new(), None);
    loop {
        let body = ask_zoho(http, login, list.clone(), since.as_deref()).await?;
        let page: ZohoPage = serde_json::from_slice(&body)?;
        since = page.data.last().and_then(ZohoContact::changed_us).map(time::format_instant);
        for contact in page.data {
            records.push(contact.into_record().ok_or("read natively: a contact without a time")?);
        }
        if !page.info.more_records {
            break;
        }
    }
    let deleted = [("type", "all"), ("page", "1"), ("per_page", ZOHO_PAGE_RECORDS)];
    ask_zoho(http, login, Url::parse_with_params(&format!("{api}/deleted"), deleted)?, since.as_deref()).await?;
    ask_zoho(http, login, Url::parse(&format!("{api}/actions/count"))?, None).await?;
    Ok(records)
}

/// One page of Zoho's list, as bytes.
pub(super) async fn zoho_page(http: &Client, login: &NativeLogin) -> Result<Vec<u8>, Failure> {
    let query =
        [("fields", ZohoContact::FIELDS.join(",") + ",Modified_Time"), ("per_page", ZOHO_PAGE_RECORDS.to_owned())];
    ask_zoho(http, login, Url::parse_with_params(&format!("{}/crm/v8/Contacts", login.url), query)?, None).await
}

async fn ask_zoho(http: &Client, login: &NativeLogin, url: Url, since: Option<&str>) -> Result<Vec<u8>, Failure> {
    let mut request = http.get(url).header("authorization", format!("Zoho-oauthtoken {}", login.secret));
    if let Some(since) = since {
        request = request.header("if-modified-since", since);
    }
    let answer = request.send().await?.error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}

/// All contacts of Vtiger: how many there are and when the last change was, then by id until that many were seen.
pub(super) async fn read_vtiger(http: &Client, login: &NativeLogin) -> Result<Vec<RemoteRecord>, Failure> {
    let counted = ask_vtiger(http, login, "select count(*) from Contacts;");
    let newest = ask_vtiger(http, login, "select id,modifiedtime from Contacts order by modifiedtime desc limit 0,1;");
    let (counted, _newest) = tokio::try_join!(counted, newest)?;
    let counted: serde_json::Value = serde_json::from_slice(&counted)?;
    let population = counted.pointer("/result/0/count").and_then(|count| count.as_str()?.parse().ok());
    let population: usize = population.ok_or("read natively: Vtiger does not count")?;
    let (mut records, mut last) = (Vec::with_capacity(population), String::new());
    while records.len() < population {
        let body = ask_vtiger(http, login, &vtiger_query(&last)).await?;
        let page: VtigerPage = serde_json::from_slice(&body)?;
        last = page.result.last().map(|contact| contact.id().to_owned()).ok_or("read natively: Vtiger ended early")?;
        for contact in page.result {
            records.push(contact.into_record().ok_or("read natively: a contact without a time")?);
        }
    }
    Ok(records)
}

/// One page of Vtiger's list, as bytes.
pub(super) async fn vtiger_page(http: &Client, login: &NativeLogin) -> Result<Vec<u8>, Failure> {
    ask_vtiger(http, login, &vtiger_query("")).await
}

fn vtiger_query(after: &str) -> String {
    let filter = if after.is_empty() { String::new() } else { format!(" where id > '{after}'") };
    let fields = VtigerContact::FIELDS.join(",");
    format!("select id,modifiedtime,{fields} from Contacts{filter} order by id limit 0,{VTIGER_PAGE_RECORDS};")
}

async fn ask_vtiger(http: &Client, login: &NativeLogin, query: &str) -> Result<Vec<u8>, Failure> {
    let parameters = [("operation", "query"), ("query", query), ("sessionName", &login.secret)];
    let url = Url::parse_with_params(&format!("{}/webservice.php", login.url), parameters)?;
    let answer = http.get(url).send().await?.error_for_status()?;
    Ok(answer.bytes().await?.to_vec())
}
