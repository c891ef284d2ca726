//! The moments at which a simulated host is killed, frozen or looked at: right before and right after each step. In the product nobody
//! watches, and nothing of this is left.

/// Where a step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Moment {
    /// Nothing of it has happened.
    Before,
    /// It is on disk, or has failed, and its caller does not know yet.
    After,
}

#[cfg(feature = "simulation")]
mod watched {
    use std::cell::RefCell;
    use std::sync::Arc;

    use futures_util::future::BoxFuture;

    use super::Moment;

    /// Is told each step by name, and lets it go on when its answer is ready.
    pub type Watch = Arc<dyn Fn(&'static str, Moment) -> BoxFuture<'static, ()> + Send + Sync>;

    thread_local! {
        static WATCH: RefCell<Option<Watch>> = const { RefCell::new(None) };
    }

    /// From now on the steps that tasks of this thread take are told to this watch; gives the one before.
    pub fn watch(watch: Option<Watch>) -> Option<Watch> {
        WATCH.replace(watch)
    }

    /// A step's name: the function whose closure it is.
    pub(in crate::store) fn name_of<F>() -> &'static str {
        let parts = std::any::type_name::<F>().rsplit("::");
        parts.into_iter().find(|part| !part.starts_with('{')).unwrap_or_default()
    }

    pub(in crate::store) async fn reach(name: &'static str, moment: Moment) {
        let watch = WATCH.with_borrow(Clone::clone);
        if let Some(watch) = watch {
            watch(name, moment).await;
        }
    }
}

#[cfg(not(feature = "simulation"))]
mod watched {
    use super::Moment;

    #[expect(clippy::extra_unused_type_parameters, reason = "the simulated store names a step by its closure's type")]
    pub(in crate::store) fn name_of<F>() -> &'static str {
        ""
    }

    pub(in crate::store) async fn reach(_name: &'static str, _moment: Moment) {}
}

#[cfg(feature = "simulation")]
pub use watched::{Watch, watch};
pub(super) use watched::{name_of, reach};
