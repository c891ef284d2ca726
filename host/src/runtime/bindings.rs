//! What `wasmtime` generates from `wit/`: one world for connectors, one for transforms, with the shared types once.
//!
//! Nothing outside this room sees these types: `types.rs` has the ones that the other rooms use, and `accept.rs` is the
//! only way from here to there.

/// The world of connectors. Only the functions that may wait for the network are async (D2).
pub(super) mod connector {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "connector-plugin",
        imports: {
            "crmsync:plugin/egress.send": async | trappable,
            "crmsync:plugin/egress.send-many": async | trappable,
            "crmsync:plugin/egress.facts": async | trappable,
            default: trappable,
        },
        exports: { default: async },
        with: { "crmsync:plugin/egress.answer": crate::runtime::lent::HeldAnswer },
    });
}

/// The world of transforms. Its one import is synchronous; the exports are async because running out of a portion of fuel yields.
pub(super) mod transform {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "transform-plugin",
        imports: { default: trappable },
        exports: { default: async },
        with: {
            "crmsync:plugin/log": super::connector::crmsync::plugin::log,
            "crmsync:plugin/batches": super::connector::crmsync::plugin::batches,
        },
    });
}
