//! What can go wrong with a plugin. Each variant is one named breach, says which plugin it was and stops that call alone.

use crmsync_cells::Malformed;

use super::limits::Breach;

/// Why a plugin could not be loaded, or why a call of it was stopped. Messages read after "failed to".
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox itself could not be set up: a defect of this machine or of the host, not of a plugin.
    #[error("set up the sandbox: {reason}")]
    Sandbox {
        /// What the Wasm engine said.
        reason: String,
    },
    /// The plugin's file could not be read.
    #[error("read plugin file `{file}`: {source}")]
    Unreadable {
        /// The file as it was named.
        file: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// No plugin with this id comes with the host.
    #[error("load plugin `{plugin}`: no plugin of that name comes with this program; known are {known}")]
    Unknown {
        /// The id asked for.
        plugin: String,
        /// The ids that there are.
        known: String,
    },
    /// The file is not a component, or not a well-formed one.
    #[error("load plugin `{plugin}`: it is not a WebAssembly component ({reason})")]
    NotAComponent {
        /// Id of the plugin, or the name of its file.
        plugin: String,
        /// Where the file stops making sense.
        reason: String,
    },
    /// The manifest is missing, unreadable, or contradicts itself.
    #[error("load plugin `{plugin}`: its manifest is not usable ({reason})")]
    BadManifest {
        /// Id of the plugin, or the name of its file.
        plugin: String,
        /// What is wrong.
        reason: String,
    },
    /// The plugin did not come with the host, and the operator has not said that such plugins are trusted.
    #[error(
        "load plugin `{plugin}`: it does not come with this program; start with `--trust-plugins` if you trust its author"
    )]
    Untrusted {
        /// Id of the plugin.
        plugin: String,
    },
    /// The plugin asks for something that the operator has not granted.
    #[error("load plugin `{plugin}`: it asks for {asked}, which is not granted")]
    NotGranted {
        /// Id of the plugin.
        plugin: String,
        /// What it asks for, such as ``origin `files` ``.
        asked: String,
    },
    /// The component imports something that is not ours to lend (D3).
    #[error("load plugin `{plugin}`: it imports `{name}`, which this host does not lend to plugins of its kind")]
    ForeignImport {
        /// Id of the plugin.
        plugin: String,
        /// Name of the import.
        name: String,
    },
    /// The component does not export what its kind must, or its types differ from the contract.
    #[error("load plugin `{plugin}`: it does not fit the contract ({reason})")]
    WrongContract {
        /// Id of the plugin.
        plugin: String,
        /// What is missing or different.
        reason: String,
    },
    /// The component, or something that a call returned, is larger than its limit.
    #[error("use plugin `{plugin}`: {what} is {found}, at most {limit} is allowed")]
    TooLarge {
        /// Id of the plugin, or the name of its file.
        plugin: String,
        /// What is too large, with its unit.
        what: &'static str,
        /// The size found.
        found: u64,
        /// The size allowed.
        limit: u64,
    },
    /// The component could not be compiled.
    #[error("compile plugin `{plugin}`: {reason}")]
    Compile {
        /// Id of the plugin.
        plugin: String,
        /// What the compiler said.
        reason: String,
    },
    /// The guest trapped: a panic, a wild pointer, a division by zero.
    #[error("call `{call}` of plugin `{plugin}`: it crashed ({trap})")]
    Trapped {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// The trap, in the Wasm engine's words.
        trap: String,
    },
    /// The guest called itself too deeply.
    #[error("call `{call}` of plugin `{plugin}`: its stack is exhausted")]
    OutOfStack {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
    },
    /// A transform used up its fuel.
    #[error("call `{call}` of plugin `{plugin}`: it used up its {fuel} units of fuel")]
    OutOfFuel {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// The fuel that it was given.
        fuel: u64,
    },
    /// The guest asked for more memory than its class has.
    #[error("call `{call}` of plugin `{plugin}`: it asked for more than its {bytes_max} bytes of memory")]
    OutOfMemory {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// The memory that it may have, in bytes.
        bytes_max: u64,
    },
    /// A connector used up its processor time.
    #[error("call `{call}` of plugin `{plugin}`: it used up its {cpu_ms} ms of processor time")]
    CpuBudget {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// The budget in milliseconds.
        cpu_ms: u64,
    },
    /// A call took too long by the clock on the wall, the time that it waited for the network left aside.
    #[error(
        "call `{call}` of plugin `{plugin}`: it was not done after {wall_ms} ms, waiting for the network left aside"
    )]
    WallClock {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// The limit in milliseconds.
        wall_ms: u64,
    },
    /// The guest called the host too often, held too many answers, or passed too much data in one call.
    #[error("call `{call}` of plugin `{plugin}`: it uses more {what} than the {limit} that it may")]
    HostCalls {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// What there was too much of.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// The guest wrote too many lines to the log.
    #[error("call `{call}` of plugin `{plugin}`: it wrote more than {lines_max} lines to the log")]
    LogFlood {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// Lines that a call may write.
        lines_max: u32,
    },
    /// The host asked something malformed: a defect of the caller; nothing was run.
    #[error("call `{call}` of plugin `{plugin}`: {reason}")]
    BadRequest {
        /// Id of the plugin.
        plugin: String,
        /// The export that was to be called.
        call: &'static str,
        /// What is wrong with the request.
        reason: String,
    },
    /// A batch that came back breaks the codec's rules.
    #[error("call `{call}` of plugin `{plugin}`: the batch `{batch}` that it gave is malformed, {source}")]
    MalformedBatch {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// Which batch of the answer.
        batch: &'static str,
        /// The rule that it breaks.
        source: Malformed,
    },
    /// Something else that came back breaks the contract: lists of unequal length, an unknown code, an answer to another question.
    #[error("call `{call}` of plugin `{plugin}`: its answer breaks the contract, {reason}")]
    MalformedAnswer {
        /// Id of the plugin.
        plugin: String,
        /// The export that was called.
        call: &'static str,
        /// The rule that it breaks.
        reason: String,
    },
}

/// Which plugin, and which of its exports: the part that all errors of a call have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site<'a> {
    pub(super) plugin: &'a str,
    pub(super) call: &'static str,
}

impl Site<'_> {
    /// Names a breach.
    pub(super) fn breach(self, breach: Breach) -> Error {
        let (plugin, call) = (self.plugin.to_owned(), self.call);
        match breach {
            Breach::Memory { bytes_max } => Error::OutOfMemory { plugin, call, bytes_max },
            Breach::Cpu { cpu_ms } => Error::CpuBudget { plugin, call, cpu_ms },
            Breach::Wall { wall_ms } => Error::WallClock { plugin, call, wall_ms },
            Breach::Log { lines_max } => Error::LogFlood { plugin, call, lines_max },
            Breach::Host { what, limit } => Error::HostCalls { plugin, call, what, limit },
        }
    }

    /// Names what stopped a call inside the Wasm engine. `fuel` is what a transform was given, 0 for a connector.
    pub(super) fn stopped(self, error: &wasmtime::Error, fuel: u64) -> Error {
        if let Some(breach) = error.downcast_ref::<Breach>() {
            return self.breach(*breach);
        }
        let (plugin, call) = (self.plugin.to_owned(), self.call);
        match error.downcast_ref::<wasmtime::Trap>() {
            Some(wasmtime::Trap::OutOfFuel) => Error::OutOfFuel { plugin, call, fuel },
            Some(wasmtime::Trap::StackOverflow) => Error::OutOfStack { plugin, call },
            Some(trap) => Error::Trapped { plugin, call, trap: trap.to_string() },
            // The component model's own checks (a wrong pointer, text that is not UTF-8, too much data) are plain messages.
            None => Error::Trapped { plugin, call, trap: format!("{error:#}") },
        }
    }

    /// An answer that breaks a rule of the contract.
    pub(super) fn malformed(self, reason: impl Into<String>) -> Error {
        Error::MalformedAnswer { plugin: self.plugin.to_owned(), call: self.call, reason: reason.into() }
    }

    /// A request of the host's own that makes no sense.
    pub(super) fn bad_request(self, reason: &str) -> Error {
        Error::BadRequest { plugin: self.plugin.to_owned(), call: self.call, reason: reason.to_owned() }
    }

    /// A request or an answer that is larger than its limit.
    pub(super) fn too_large(self, what: &'static str, found: usize, limit: usize) -> Error {
        Error::TooLarge { plugin: self.plugin.to_owned(), what, found: found as u64, limit: limit as u64 }
    }
}
