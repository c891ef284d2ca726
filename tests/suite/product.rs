//! The product that these tests start.

use crmsync_tests::product::Product;

/// The binary that cargo built with this test.
pub(crate) fn product() -> Product {
    Product::at(env!("CARGO_BIN_EXE_crmsync"))
}

/// Runs a story on a runtime of its own.
pub(crate) fn run<T>(story: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(story)
}
