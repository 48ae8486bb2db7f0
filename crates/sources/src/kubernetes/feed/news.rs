//! What happened since somebody last looked. The directory has the state; this only says where to look.
//!
//! Equal news are told once, so that a reader who is slow finds as many as there are things to look at, not as many as there were
//! changes. More than [`MOST`] become [`News::Everything`].

use std::time::Duration;

use indexmap::IndexSet;
use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::Source;

/// News kept until they are read.
const MOST: usize = 4096;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum News {
    /// A pod is new, has changed or is gone.
    Pod {
        /// The uid that its cgroup carries, as the directory has it.
        uid: String,
    },
    /// There are new events about a pod.
    PodEvents {
        /// The uid that its cgroup carries, as the directory has it.
        uid: String,
    },
    /// The Node object has changed.
    Node,
    /// There are new events about the node.
    NodeEvents,
    /// The kubelet's configuration was read, or has changed.
    KubeletConfig,
    /// Who tells of pods now; `None`: nobody, the directory keeps what it knew.
    PodsFrom(Option<Source>),
    /// Something can no longer be had.
    GapBegins(Gap),
    /// It can be had again.
    GapEnds {
        /// What began.
        gap: Gap,
        /// How long it lasted.
        lasted: Duration,
    },
    /// More than could be kept: look at all of it.
    Everything,
}

/// News in their order, each once.
#[derive(Debug, Default)]
pub(super) struct Queue(IndexSet<News>);

impl Queue {
    pub(super) fn add(&mut self, news: News) {
        if self.0.len() >= MOST {
            self.0.clear();
            self.0.insert(News::Everything);
        }
        // What tells a state is told last where it was told last.
        if matches!(news, News::PodsFrom(_) | News::GapBegins(_)) {
            self.0.shift_remove(&news);
        }
        self.0.insert(news);
    }

    pub(super) fn take(&mut self) -> Vec<News> {
        std::mem::take(&mut self.0).into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a state that comes and goes while nobody reads, the last news is the last.
    #[test]
    fn states_in_order() {
        let mut queue = Queue::default();
        let from = [Some(Source::Api), None, Some(Source::Api)].map(News::PodsFrom);
        from.clone().into_iter().for_each(|news| queue.add(news));
        assert_eq!(queue.take(), from[1..]);
    }

    /// Nobody reads, and everything changes again and again: what is kept does not grow.
    #[test]
    fn bounded() {
        let mut queue = Queue::default();
        let pod = |n: usize| News::Pod { uid: n.to_string() };
        (0..10).for_each(|n| queue.add(pod(n % 3)));
        assert_eq!(queue.take(), [pod(0), pod(1), pod(2)]);
        assert!(queue.take().is_empty());
        (0..=MOST).for_each(|n| queue.add(pod(n)));
        assert_eq!(queue.take(), [News::Everything, pod(MOST)]);
    }
}
