//! Every limit of a plugin, with its default, and the counters that uphold them.

use wasmtime::ResourceLimiter;

use super::manifest::{Class, PluginKind};

/// Instances of one engine that live at the same time; a call that needs one more waits. Each reserves 4 GiB of address space.
pub const INSTANCES_MAX: u32 = 128;
/// How long a call waits for an instance, in milliseconds. It is bounded because a run that holds one connector and waits for its
/// second could otherwise wait for another run that does the same.
pub const INSTANCE_WAIT_MS: u64 = 30_000;
/// Time between two looks at the processor time of running connectors, in milliseconds.
pub const TICK_MS: u64 = 10;
/// Fuel after which a transform lets others run.
pub const FUEL_PORTION: u64 = 10_000_000;
/// Native stack of one guest, in bytes: what its calls may use, and what its fiber has (the host's functions run there too).
pub const GUEST_STACK_BYTES: usize = 512 << 10;
/// Whole stack of a fiber, in bytes.
pub const FIBER_STACK_BYTES: usize = 2 << 20;

/// Log lines of one call.
pub const LOG_LINES_MAX: u32 = 100;
/// Bytes of one log line; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = 1_024;
/// Calls of host functions in one call of a guest.
pub const HOST_CALLS_MAX: u32 = 100_000;
/// Bytes that a guest may pass to the host in one call of a host function, and in one answer.
pub const HOST_CALL_BYTES_MAX: usize = 32 << 20;
/// HTTP answers that an instance may hold at the same time.
pub const ANSWERS_HELD_MAX: usize = 128;
/// Bytes of HTTP answers that an instance may hold at the same time.
pub const ANSWERS_HELD_BYTES_MAX: usize = 64 << 20;
/// Requests of one `send-many` that are under way at the same time.
pub const SEND_MANY_PARALLEL: usize = 8;
/// Requests in one `send-many`: there has to be a place for each answer.
pub const SEND_MANY_MAX: usize = ANSWERS_HELD_MAX;
/// Bytes of a connection's state cache, keys and values together.
pub const STATE_BYTES_MAX: usize = 64 << 10;

/// Requests of one `check` (S10).
pub const CHECK_REQUESTS_MAX: u32 = 4;
/// Requests of `modules` and of `describe`: some CRMs describe one module, or one layout, an answer.
pub const DESCRIBE_REQUESTS_MAX: u32 = 32;
/// Requests of `users`: they come in pages.
pub const USERS_REQUESTS_MAX: u32 = 100;
/// Requests of `count`.
pub const COUNT_REQUESTS_MAX: u32 = 1;
/// Requests of `pull`, `fetch` and `find`.
pub const READ_REQUESTS_MAX: u32 = 8;
/// Requests of `push` beyond one for each row.
pub const PUSH_REQUESTS_EXTRA: u32 = 2;

/// Rows of one batch.
pub const BATCH_ROWS_MAX: usize = 1_000;
/// Columns of one batch.
pub const BATCH_COLUMNS_MAX: usize = 500;
/// Bytes of text of one batch.
pub const BATCH_TEXT_BYTES_MAX: usize = 16 << 20;
/// Removals in one page.
pub const REMOVALS_MAX: usize = 2_000;
/// Ids in one `fetch`.
pub const FETCH_IDS_MAX: usize = 200;
/// Values in one `find`.
pub const FIND_VALUES_MAX: usize = 100;
/// Bytes of a cursor.
pub const CURSOR_BYTES_MAX: usize = 64 << 10;
/// Bytes of an id, a version, a name or a code.
pub const NAME_BYTES_MAX: usize = 1_024;
/// Bytes of a message or a label; messages are cut, labels refused.
pub const MESSAGE_BYTES_MAX: usize = 4_096;
/// Modules of a CRM, fields of a module, functions of a plugin.
pub const NAMES_MAX: usize = 5_000;
/// Selectable values of one field.
pub const CHOICES_MAX: usize = 20_000;
/// Users and groups of a CRM.
pub const USERS_MAX: usize = 50_000;
/// Open facts of one record (`extra`).
pub const EXTRA_MAX: usize = 100;
/// Milliseconds after which an unanswered write must be settled, whatever a plugin says: a week.
pub const QUIESCE_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;
/// Steps of one `apply`.
pub const STEPS_MAX: usize = 500;

/// Bytes of a manifest.
pub const MANIFEST_BYTES_MAX: usize = 256 << 10;
/// Bytes of one Wasm function: compile time grows faster than the size of a function.
pub const FUNCTION_BYTES_MAX: usize = 1 << 20;
/// Modules and components inside a component, and how deep they may be nested.
pub const NESTED_MAX: u32 = 128;
/// How deep components may be nested.
pub const NESTED_DEPTH_MAX: usize = 4;

/// What one call of a connector's export may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// Processor time in milliseconds: the guest's own, and the host's work on its behalf.
    pub cpu_ms: u64,
    /// Time by the clock on the wall in milliseconds, waiting at the gate left aside.
    pub wall_ms: u64,
    /// After this many milliseconds, waiting included, nothing is sent any more.
    pub deadline_ms: u64,
}

impl CallLimits {
    /// The defaults for a class: interpreters are given four times the processor time of compiled code.
    pub fn of(class: Class) -> CallLimits {
        let cpu_ms = match class {
            Class::Rust => 5_000,
            Class::Javascript | Class::Python => 20_000,
        };
        CallLimits { cpu_ms, wall_ms: 60_000, deadline_ms: 300_000 }
    }
}

/// Fuel of one call of a transform: published, so that an author can test against it. One unit is about one Wasm instruction,
/// or one byte of a bulk copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fuel {
    /// For the call itself: start of the instance, settings, an interpreter's own start.
    pub base: u64,
    /// For each row.
    pub per_row: u64,
    /// For each byte of text in the batch: long texts are copied a few times.
    pub per_text_byte: u64,
}

impl Fuel {
    /// The defaults for a class.
    pub fn of(class: Class) -> Fuel {
        match class {
            Class::Rust => Fuel { base: 20_000_000, per_row: 200_000, per_text_byte: 64 },
            Class::Javascript => Fuel { base: 500_000_000, per_row: 5_000_000, per_text_byte: 1_000 },
            Class::Python => Fuel { base: 2_000_000_000, per_row: 20_000_000, per_text_byte: 2_000 },
        }
    }

    /// The fuel for a batch.
    pub fn total(self, rows: usize, text_bytes: usize) -> u64 {
        self.base
            .saturating_add(self.per_row.saturating_mul(rows as u64))
            .saturating_add(self.per_text_byte.saturating_mul(text_bytes as u64))
    }
}

/// What a component may consist of and need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ComponentLimits {
    /// Bytes of the file.
    pub bytes_max: usize,
    /// Functions in it, all modules together.
    pub functions_max: u32,
    /// Linear memory of an instance in bytes, all its memories together.
    pub memory_bytes_max: usize,
    /// Core instances of an instance: a Rust connector has 3.
    pub core_instances_max: usize,
}

impl ComponentLimits {
    /// The defaults for a class and a kind.
    pub fn of(class: Class, kind: PluginKind) -> ComponentLimits {
        let (bytes_max, functions_max, core_instances_max) = match class {
            Class::Rust => (4 << 20, 10_000, 8),
            Class::Javascript => (32 << 20, 20_000, 32),
            Class::Python => (32 << 20, 20_000, 64),
        };
        let memory_mib = match (kind, class) {
            (PluginKind::Transform, Class::Rust) => 16,
            (PluginKind::Transform, Class::Javascript) => 32,
            (PluginKind::Connector, Class::Python) => 128,
            _ => 64,
        };
        ComponentLimits { bytes_max, functions_max, memory_bytes_max: memory_mib << 20, core_instances_max }
    }
}

/// The largest values that any class has: what the pool is built for, and what is refused before the class is known.
pub(super) const COMPONENT_BYTES_MAX: usize = 32 << 20;
pub(super) const MEMORY_BYTES_MAX: usize = 128 << 20;
pub(super) const CORE_INSTANCES_MAX: u32 = 64;
pub(super) const TABLES_MAX: u32 = 16;
pub(super) const TABLE_ELEMENTS_MAX: usize = 20_000;

/// A limit that a running guest has broken. Raised through the Wasm engine as a trap and named by `Site::stopped`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Breach {
    #[error("more than {bytes_max} bytes of memory")]
    Memory { bytes_max: u64 },
    #[error("more than {cpu_ms} ms of processor time")]
    Cpu { cpu_ms: u64 },
    #[error("more than {wall_ms} ms by the clock")]
    Wall { wall_ms: u64 },
    #[error("more than {lines_max} log lines")]
    Log { lines_max: u32 },
    #[error("more than {limit} {what}")]
    Host { what: &'static str, limit: u64 },
}

/// Upholds the limits of memory, tables and core instances of one wasmtime `Store`.
#[derive(Debug)]
pub(super) struct Ceiling {
    memory_bytes: usize,
    memory_bytes_max: usize,
    growing_bytes: usize,
    core_instances_max: usize,
}

impl Ceiling {
    pub(super) fn new(limits: &ComponentLimits) -> Ceiling {
        Ceiling {
            memory_bytes: 0,
            memory_bytes_max: limits.memory_bytes_max,
            growing_bytes: 0,
            core_instances_max: limits.core_instances_max,
        }
    }
}

impl ResourceLimiter for Ceiling {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growing = desired.saturating_sub(current);
        if self.memory_bytes.saturating_add(growing) > self.memory_bytes_max {
            return Err(Breach::Memory { bytes_max: self.memory_bytes_max as u64 }.into());
        }
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        self.memory_bytes += growing;
        self.growing_bytes = growing;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // The guest is told in the Wasm way (-1); the bytes counted a moment ago were not taken.
        self.memory_bytes = self.memory_bytes.saturating_sub(std::mem::take(&mut self.growing_bytes));
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        if desired > TABLE_ELEMENTS_MAX {
            return Err(Breach::Host { what: "table elements", limit: TABLE_ELEMENTS_MAX as u64 }.into());
        }
        Ok(maximum.is_none_or(|maximum| desired <= maximum))
    }

    fn instances(&self) -> usize {
        self.core_instances_max
    }

    fn tables(&self) -> usize {
        TABLES_MAX as usize
    }

    fn memories(&self) -> usize {
        // One for the program; interpreters that are linked from parts share it.
        1
    }
}

/// Counts what a guest asks of the host in one call.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    host_calls: u32,
    log_lines: u32,
    requests: u32,
}

impl Ledger {
    /// One more call of a host function.
    pub(super) fn host_call(&mut self) -> Result<(), Breach> {
        self.host_calls += 1;
        if self.host_calls > HOST_CALLS_MAX {
            return Err(Breach::Host { what: "calls of the host", limit: u64::from(HOST_CALLS_MAX) });
        }
        Ok(())
    }

    /// One more log line.
    pub(super) fn log_line(&mut self) -> Result<(), Breach> {
        self.host_call()?;
        self.log_lines += 1;
        if self.log_lines > LOG_LINES_MAX {
            return Err(Breach::Log { lines_max: LOG_LINES_MAX });
        }
        Ok(())
    }

    /// Takes one of the call's requests; false if it has none left.
    pub(super) fn take_request(&mut self, requests_max: u32) -> bool {
        let left = self.requests < requests_max;
        self.requests += u32::from(left);
        left
    }

    /// Requests that the call may still make.
    pub(super) fn requests_left(&self, requests_max: u32) -> u32 {
        requests_max.saturating_sub(self.requests)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_growth() {
        let limits =
            ComponentLimits { memory_bytes_max: 100, ..ComponentLimits::of(Class::Rust, PluginKind::Transform) };
        let mut ceiling = Ceiling::new(&limits);
        assert!(ceiling.memory_growing(0, 60, None).expect("60 of 100 fit"));
        assert!(!ceiling.memory_growing(60, 90, Some(80)).expect("the module's own maximum is no breach"));
        assert!(ceiling.memory_growing(60, 100, None).expect("100 of 100 fit"));
        ceiling.memory_grow_failed(wasmtime::Error::msg("no room")).expect("a failed growth is no breach");
        assert!(ceiling.memory_growing(0, 40, None).expect("the failed growth was given back"));
        let breach = ceiling.memory_growing(40, 41, None).expect_err("one byte too many");
        assert_eq!(breach.downcast_ref(), Some(&Breach::Memory { bytes_max: 100 }));
    }

    #[test]
    fn fuel_never_wraps() {
        let fuel = Fuel { base: u64::MAX - 1, per_row: u64::MAX, per_text_byte: 2 };
        assert_eq!(fuel.total(usize::MAX, usize::MAX), u64::MAX);
        assert_eq!(Fuel { base: 10, per_row: 3, per_text_byte: 2 }.total(2, 5), 26);
    }
}
