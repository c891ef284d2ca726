//! The plugin contract as Rust types, generated from `wit/`.
//!
//! Generated here once for both worlds, so that a plugin needs neither the generator nor the `.wit` files. Types that both worlds
//! use exist once: in [`connector`].

/// World `connector-plugin`.
pub mod connector {
    wit_bindgen::generate!({
        world: "connector-plugin",
        path: "../../wit",
        pub_export_macro: true,
        export_macro_name: "export_connector_world",
        default_bindings_module: "crmsync_plugin::bindings::connector",
        additional_derives: [PartialEq],
    });
}

/// World `transform-plugin`.
pub mod transform {
    wit_bindgen::generate!({
        world: "transform-plugin",
        path: "../../wit",
        with: {
            "crmsync:plugin/batches@0.1.0": crate::bindings::connector::crmsync::plugin::batches,
            "crmsync:plugin/log@0.1.0": crate::bindings::connector::crmsync::plugin::log,
        },
        pub_export_macro: true,
        export_macro_name: "export_transform_world",
        default_bindings_module: "crmsync_plugin::bindings::transform",
        additional_derives: [PartialEq],
    });
}
