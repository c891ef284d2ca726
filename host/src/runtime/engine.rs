//! The two Wasm engines: fuel for transforms, epochs for connectors, never both on one (D4).

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, EngineWeak, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::bindings;
use super::error::Error;
use super::lent::{Lent, LentToTransform};
use super::limits::{
    CORE_INSTANCES_MAX, FIBER_STACK_BYTES, GUEST_STACK_BYTES, INSTANCES_MAX, MEMORY_BYTES_MAX, TABLE_ELEMENTS_MAX,
    TABLES_MAX, TICK_MS,
};

/// Linear memory is reserved in full: a smaller reservation costs a bounds check on every access (D5).
const MEMORY_RESERVATION_BYTES: u64 = 4 << 30;

/// An engine, what its guests may import, and how many of them may live at the same time.
pub(super) struct Room<T: 'static> {
    pub(super) engine: Engine,
    pub(super) linker: Linker<T>,
    pub(super) instances: Arc<Semaphore>,
}

/// Both engines.
pub(super) struct Engines {
    pub(super) connectors: Room<Lent>,
    pub(super) transforms: Room<LentToTransform>,
}

impl Engines {
    pub(super) fn new() -> Result<Engines, Error> {
        let sandbox = |error: wasmtime::Error| Error::Sandbox { reason: format!("{error:#}") };
        let connectors = connector_room().map_err(sandbox)?;
        let transforms = transform_room().map_err(sandbox)?;
        tick(&connectors.engine)?;
        Ok(Engines { connectors, transforms })
    }
}

fn connector_room() -> wasmtime::Result<Room<Lent>> {
    let mut config = config();
    config.epoch_interruption(true);
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    bindings::connector::ConnectorPlugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |lent| lent)?;
    Ok(Room { engine, linker, instances: Arc::new(Semaphore::new(INSTANCES_MAX as usize)) })
}

fn transform_room() -> wasmtime::Result<Room<LentToTransform>> {
    let mut config = config();
    config.consume_fuel(true);
    let engine = Engine::new(&config)?;
    let mut linker = Linker::new(&engine);
    bindings::transform::TransformPlugin::add_to_linker::<_, HasSelf<_>>(&mut linker, |lent| lent)?;
    Ok(Room { engine, linker, instances: Arc::new(Semaphore::new(INSTANCES_MAX as usize)) })
}

/// What both engines have in common.
fn config() -> Config {
    let mut config = Config::new();
    // D1: the component model without its async part, which has had memory errors; no proposal that our plugins do not need.
    config.concurrency_support(false);
    config.wasm_component_model(true);
    config.gc_support(false);
    config.wasm_gc(false);
    config.wasm_function_references(false);
    config.wasm_exceptions(false);
    config.wasm_threads(false);
    config.shared_memory(false);
    config.wasm_shared_everything_threads(false);
    config.wasm_tail_call(false);
    config.wasm_relaxed_simd(false);
    config.wasm_simd(false);
    config.wasm_memory64(false);
    config.wasm_multi_memory(false);
    config.wasm_wide_arithmetic(false);
    config.wasm_custom_page_sizes(false);
    config.wasm_stack_switching(false);
    // What Rust emits for `wasm32-unknown-unknown` without being asked.
    config.wasm_bulk_memory(true);
    config.wasm_multi_value(true);
    config.wasm_reference_types(true);
    config.max_wasm_stack(GUEST_STACK_BYTES);
    config.async_stack_size(FIBER_STACK_BYTES);
    config.memory_reservation(MEMORY_RESERVATION_BYTES);
    config.memory_may_move(false);
    config.memory_init_cow(true);
    // A plugin's author has the symbols; the operator has the plugin's name, the call and the trap.
    config.wasm_backtrace_max_frames(None);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool()));
    config
}

fn pool() -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(INSTANCES_MAX)
        .total_stacks(INSTANCES_MAX)
        .total_memories(INSTANCES_MAX)
        .total_tables(INSTANCES_MAX * TABLES_MAX)
        .total_core_instances(INSTANCES_MAX * CORE_INSTANCES_MAX)
        .max_core_instances_per_component(CORE_INSTANCES_MAX)
        .max_memories_per_component(1)
        .max_tables_per_component(TABLES_MAX)
        .max_memory_size(MEMORY_BYTES_MAX)
        .table_elements(TABLE_ELEMENTS_MAX);
    pool
}

/// Starts the thread that ticks the connectors' epoch. It ends with its engine.
fn tick(engine: &Engine) -> Result<(), Error> {
    let engine: EngineWeak = engine.weak();
    std::thread::Builder::new()
        .name("crmsync-epoch".to_owned())
        .spawn(move || {
            while let Some(engine) = engine.upgrade() {
                engine.increment_epoch();
                drop(engine);
                std::thread::sleep(Duration::from_millis(TICK_MS));
            }
        })
        .map(drop)
        .map_err(|error| Error::Sandbox { reason: format!("start the epoch thread: {error}") })
}
