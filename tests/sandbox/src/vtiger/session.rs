//! Challenges and sessions.

use std::collections::HashMap;

use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::answer::Refusal;
use super::store::{User, on_off};
use crate::rng::Rng;

/// How long a challenge can be used, in seconds.
const CHALLENGE_LIFE_S: i64 = 300;
/// After so many idle seconds PHP's clean-up removes a session.
const SESSION_IDLE_S: i64 = 1_440;
const TOKEN_DIGITS: usize = 13;
const SESSION_NAME_DIGITS: usize = 21;

/// The challenges and sessions of one server.
#[derive(Debug)]
pub(super) struct Sessions {
    rng: Rng,
    /// By user number: one challenge for each user, whoever asked for it.
    challenges: HashMap<u64, Challenge>,
    live: HashMap<String, Session>,
}

#[derive(Debug)]
struct Challenge {
    token: String,
    expires_s: i64,
}

#[derive(Debug)]
struct Session {
    user: u64,
    used_s: i64,
}

impl Sessions {
    /// No sessions yet; tokens and session names come from the generator.
    pub(super) fn new(rng: Rng) -> Self {
        Self { rng, challenges: HashMap::new(), live: HashMap::new() }
    }

    /// Answers `getchallenge`. The user's previous challenge is void from now on.
    ///
    /// # Errors
    ///
    /// `ACCESS_DENIED` without a name and for an unknown one.
    pub(super) fn challenge(&mut self, users: &[User], name: Option<&str>, now_s: i64) -> Result<Value, Refusal> {
        let name = name.filter(|name| !name.is_empty()).ok_or_else(|| Refusal::access("No username given"))?;
        let user = named(users, name).ok_or_else(|| Refusal::access("username does not exists"))?;
        let token = self.rng.hex(TOKEN_DIGITS);
        let expires_s = now_s + CHALLENGE_LIFE_S;
        self.challenges.insert(user.number, Challenge { token: token.clone(), expires_s });
        Ok(json!({ "token": token, "serverTime": now_s, "expireTime": expires_s }))
    }

    /// Answers `login`; the key is the MD5 of challenge and access key.
    ///
    /// # Errors
    ///
    /// `INVALID_AUTH_TOKEN` without a live challenge (so also for unknown users), `INVALID_USER_CREDENTIALS` for a
    /// wrong key, which is also one made with a superseded challenge.
    pub(super) fn login(&mut self, users: &[User], name: &str, key: &str, now_s: i64) -> Result<Value, Refusal> {
        let challenge = named(users, name).and_then(|user| Some((user, self.challenges.get(&user.number)?)));
        let Some((user, challenge)) = challenge.filter(|(_, challenge)| challenge.expires_s >= now_s) else {
            return Err(Refusal::coded("INVALID_AUTH_TOKEN", "Specified token is invalid or expired"));
        };
        if key != login_key(&challenge.token, &user.access_key) {
            return Err(Refusal::coded("INVALID_USER_CREDENTIALS", "Invalid username or password"));
        }
        if !user.active {
            return Err(Refusal::coded("AUTHENTICATION_REQUIRED", "Given user is inactive"));
        }
        let session_name = self.rng.hex(SESSION_NAME_DIGITS);
        self.live.insert(session_name.clone(), Session { user: user.number, used_s: now_s });
        Ok(json!({
            "username": user.name,
            "first_name": user.first_name,
            "last_name": user.last_name,
            "email": user.email,
            "time_zone": "UTC",
            "hour_format": "12",
            "date_format": "yyyy-mm-dd",
            "is_admin": on_off(user.administrator),
            "call_duration": "5",
            "other_event_duration": "5",
            "sessionName": session_name,
            "userId": format!("19x{}", user.number),
            "version": "0.22",
            "vtigerVersion": "8.2.0",
        }))
    }

    /// The number of the user whose session this is; the session counts as used now.
    ///
    /// # Errors
    ///
    /// `AUTHENTICATION_REQUIRED` without a session name, `INVALID_SESSIONID` for an unknown session and one that was
    /// idle too long.
    pub(super) fn user_of(&mut self, session_name: Option<&str>, now_s: i64) -> Result<u64, Refusal> {
        let name = session_name
            .filter(|name| !name.is_empty())
            .ok_or_else(|| Refusal::coded("AUTHENTICATION_REQUIRED", "Authencation required"))?;
        self.live.retain(|_, session| now_s - session.used_s <= SESSION_IDLE_S);
        let session = self
            .live
            .get_mut(name)
            .ok_or_else(|| Refusal::coded("INVALID_SESSIONID", "Session Identifier provided is Invalid"))?;
        session.used_s = now_s;
        Ok(session.user)
    }

    /// Ends one session.
    pub(super) fn logout(&mut self, session_name: &str) {
        self.live.remove(session_name);
    }

    /// Ends every session; challenges stay.
    pub(super) fn expire_all(&mut self) {
        self.live.clear();
    }
}

fn named<'a>(users: &'a [User], name: &str) -> Option<&'a User> {
    users.iter().find(|user| user.name == name)
}

fn login_key(token: &str, access_key: &str) -> String {
    let mut md5 = Md5::new();
    md5.update(token);
    md5.update(access_key);
    md5.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
