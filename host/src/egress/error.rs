//! What can go wrong outside of a guest's request: while a door is opened or a connection logs in.

use super::Refusal;
use crmsync_body::NotRedactable;

/// Why a door could not be opened or a login not be completed. Reads after "failed to".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The grant contradicts itself or asks for what cannot be granted.
    #[error("use the grant: {0}")]
    BadGrant(String),
    /// Something that the grant calls secret cannot be kept out of answers.
    #[error("use the grant: {0}")]
    NotRedactable(#[from] NotRedactable),
    /// The operation belongs to another kind of login.
    #[error("do this with a connection that does not log in by `{0}`")]
    WrongKind(&'static str),
    /// A setting or secret of the connection is missing or wrong; a person has to correct it.
    #[error("log in: {0}")]
    Settings(String),
    /// The CRM refused the code or the credentials.
    #[error("log in: the CRM answers `{0}`")]
    LoginRefused(String),
    /// The callback names a data centre that is not in the manifest's table.
    #[error("log in: the data centre `{0}` is not one that the plugin knows")]
    UnknownDataCentre(String),
    /// The token endpoint gave no refresh token, so the login would end within the hour.
    #[error("log in: the CRM gave no refresh token; revoke the old authorisation there and log in again")]
    NoRefreshToken,
    /// The secrets could not be read or stored.
    #[error("keep the login's secrets: {0}")]
    Vault(String),
    /// The request to the CRM was not answered.
    #[error("reach the CRM: {0}")]
    Unreachable(#[from] Refusal),
}
