//! What is known about the login, and the small cache of what modules look like.

use crmsync_plugin::egress::{Answer, send_all};
use crmsync_plugin::facts::Facts;
use crmsync_plugin::{Fault, state, warning};

use crate::fault::Doing;
use crate::schema::{Described, Modules, Schema, prefix_of};
use crate::wire;

/// Time after which a write that nobody answered cannot be carried out any more, if the connection does not say
/// otherwise.
const QUIESCE_MS: u64 = 300_000;

/// Descriptions that one call may ask for to learn the prefixes of reference targets.
const TARGETS_MAX: usize = 4;

/// What `describe` said of a module serves `modules` for so long. The host asks for both every hour, so that `modules` tells what was true
/// when the last run with news of that kind began; whenever people look, it drops what is remembered and both are asked for.
const RECENT_MS: i64 = 24 * 60 * 60 * 1_000;

/// Keys of the cache carry the number of their content's form.
const MODULES_KEY: &str = "1/prefixes";

/// Facts of the login. They are complete after the first answer, because the host logs in when it has to.
#[derive(Clone, Debug)]
pub(crate) struct Login {
    facts: Facts,
}

impl Login {
    /// What is known now.
    pub(crate) fn now() -> Login {
        Login { facts: Facts::of_call() }
    }

    /// A fact, "" if it is unknown.
    pub(crate) fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_default()
    }

    /// A setting of the connection, "" if it is not set.
    pub(crate) fn setting(&self, name: &str) -> &str {
        self.facts.setting(name).unwrap_or_default()
    }

    /// Whether no record is hidden from this user. Older releases do not tell who is an administrator; they count as
    /// hiding.
    pub(crate) fn sees_all(&self) -> bool {
        self.fact("is-admin") == "on"
    }

    /// Milliseconds after which an unanswered write is surely over.
    pub(crate) fn quiesce_ms(&self) -> u64 {
        self.setting("quiesce_ms").parse().unwrap_or(QUIESCE_MS)
    }

    /// The CRM's clock when it answered, in seconds since 1970. Only differences of it mean anything, so without a `Date`
    /// header it is the host's clock at the start of the call.
    pub(crate) fn clock(&self, answer: &Answer) -> i64 {
        wire::clock(answer).unwrap_or_else(|| self.facts.now_ms().div_euclid(1_000))
    }
}

/// Asks for a module's description and keeps its gist.
///
/// # Errors
/// `unsupported` if the user may not see the module.
pub(crate) fn describe(module: &str) -> Result<Described, Fault> {
    describe_all(&[module]).remove(0)
}

/// What is known of several modules: as their descriptions were not long ago, or as they are now. One result for each.
pub(crate) fn recent(modules: &[&str]) -> Vec<Result<Schema, Fault>> {
    let now_ms = Facts::of_call().now_ms();
    // Without a clock of the host nothing is recent.
    let is_recent = |schema: &Schema| schema.at_ms > 0 && (0..RECENT_MS).contains(&(now_ms - schema.at_ms));
    let known: Vec<Option<Schema>> = modules.iter().map(|module| cached(module).filter(is_recent)).collect();
    let unknown: Vec<&str> =
        modules.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(name, _)| *name).collect();
    let mut described = describe_all(&unknown).into_iter();
    let mut next = || described.next().unwrap_or_else(|| Err(Fault::Transient("the host gave no answer".to_owned())));
    known.into_iter().map(|known| known.map_or_else(|| next().map(|described| described.schema()), Ok)).collect()
}

/// Asks for several descriptions side by side; one result for each module.
pub(crate) fn describe_all(modules: &[&str]) -> Vec<Result<Described, Fault>> {
    let answers = send_all(modules.iter().map(|module| wire::describe(module)).collect());
    let described = modules.iter().zip(answers).map(|(module, answer)| read_description(module, &answer?));
    let described: Vec<_> = described.collect();
    keep(modules, &described);
    described
}

/// What reading and writing a module needs. It comes from the cache, unless a field is unknown there: that one is
/// looked for once.
///
/// # Errors
/// Those of [`describe`].
pub(crate) fn schema(module: &str, fields: &[String]) -> Result<Schema, Fault> {
    let is_settled = |schema: &Schema, name: &String| schema.field(name).is_some() || schema.without.contains(name);
    if let Some(schema) = cached(module).filter(|schema| fields.iter().all(|name| is_settled(schema, name))) {
        return Ok(schema);
    }
    let mut schema = describe(module)?.schema();
    schema.without = fields.iter().filter(|name| schema.field(name).is_none()).cloned().collect();
    if !schema.without.is_empty() {
        warning!("module {module} has no field {}", schema.without.join(", "));
        keep_schema(module, &schema);
    }
    Ok(schema)
}

/// Asks for a module's description again, because the CRM denied this field.
///
/// # Errors
/// Those of [`describe`].
pub(crate) fn look_again(module: &str, field: &str) -> Result<(), Fault> {
    let mut schema = describe(module)?.schema();
    // It may be described all the same.
    schema.fields.retain(|known| known.name != field);
    schema.without.push(field.to_owned());
    warning!("module {module} has no field {field} any more");
    keep_schema(module, &schema);
    Ok(())
}

/// Drops what is known about a module.
pub(crate) fn forget(module: &str) {
    state::set(&schema_key(module), &[]);
}

/// Which prefix is whose, complete for these reference targets. At most [`TARGETS_MAX`] modules are asked for;
/// references whose module stays unknown are read as raw text.
///
/// # Errors
/// The connection's, never one about a single module.
pub(crate) fn modules(targets: &[&[String]]) -> Result<Modules, Fault> {
    let mut modules = known_modules();
    let mut unknown: Vec<&str> = Vec::new();
    for target in targets.iter().flat_map(|targets| modules.unknown(targets)) {
        if !modules.knows(target) && !unknown.contains(&target.as_str()) {
            unknown.push(target);
        }
    }
    if unknown.len() > TARGETS_MAX {
        warning!("{} of {} reference targets are looked up in this call", TARGETS_MAX, unknown.len());
        unknown.truncate(TARGETS_MAX);
    }
    if unknown.is_empty() {
        return Ok(modules);
    }
    for (module, described) in unknown.iter().zip(describe_all(&unknown)) {
        match described {
            Ok(described) => modules.learn(described.prefix(), module),
            Err(fault @ (Fault::LoggedOut | Fault::RateLimited(_) | Fault::Transient(_))) => return Err(fault),
            Err(_) => {} // This user does not see the module, so no reference to it either.
        }
    }
    Ok(modules)
}

fn cached(module: &str) -> Option<Schema> {
    state::get(&schema_key(module)).and_then(|bytes| serde_json::from_slice(&bytes).ok())
}

fn known_modules() -> Modules {
    let cached = state::get(MODULES_KEY).and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut modules: Modules = cached.unwrap_or_default();
    if let Some(prefix) = prefix_of(Login::now().fact("user-id")) {
        modules.learn(prefix, "Users");
    }
    modules
}

fn read_description(module: &str, answer: &Answer) -> Result<Described, Fault> {
    let result = wire::result(answer, Doing::Read)?;
    Described::read(module, &result)
        .ok_or_else(|| Fault::Transient(format!("the CRM's description of `{module}` makes no sense")))
}

/// A full cache only costs requests, so nobody asks whether it took the values.
fn keep(modules: &[&str], described: &[Result<Described, Fault>]) {
    let mut known = known_modules();
    for (module, described) in modules.iter().zip(described) {
        let Ok(described) = described else { continue };
        known.learn(described.prefix(), module);
        keep_schema(module, &described.schema());
    }
    if let Ok(bytes) = serde_json::to_vec(&known) {
        state::set(MODULES_KEY, &bytes);
    }
}

fn keep_schema(module: &str, schema: &Schema) {
    let schema = Schema { at_ms: Facts::of_call().now_ms(), ..schema.clone() };
    if let Ok(bytes) = serde_json::to_vec(&schema) {
        state::set(&schema_key(module), &bytes);
    }
}

fn schema_key(module: &str) -> String {
    format!("1/schema/{module}")
}
