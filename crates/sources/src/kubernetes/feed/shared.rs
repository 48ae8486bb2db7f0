//! What the feed's thread and its owner share: the directory, the news, the gaps that are open.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use indexmap::IndexMap;
use oomscope_core::evidence::Gap;
use oomscope_core::kubernetes::{Directory, Source};

use super::super::{Error, Why};
use super::news::{News, Queue};

/// Objects that cannot be read may be many; as many gaps are kept.
const MOST_GAPS: usize = 64;

/// The gap while it cannot be reached at all, or takes no credentials: one for everything that it would tell.
pub(super) const API_SERVER: &str = "the API server";

type Waker = Box<dyn Fn() + Send>;

/// Never locks two of its parts at a time.
pub(super) struct Shared {
    pub(super) directory: Arc<Mutex<Directory>>,
    news: Mutex<Queue>,
    gaps: Mutex<IndexMap<String, Open>>,
    pods_from: Mutex<Option<Source>>,
    waker: Mutex<Waker>,
}

struct Open {
    gap: Gap,
    since: Instant,
}

impl Shared {
    pub(super) fn new(directory: Arc<Mutex<Directory>>, waker: Waker) -> Self {
        Self {
            directory,
            news: Mutex::default(),
            gaps: Mutex::default(),
            pods_from: Mutex::default(),
            waker: Mutex::new(waker),
        }
    }

    pub(super) fn directory(&self) -> MutexGuard<'_, Directory> {
        lock(&self.directory)
    }

    pub(super) fn tell(&self, news: News) {
        lock(&self.news).add(news);
        (lock(&self.waker))();
    }

    pub(super) fn take_news(&self) -> Vec<News> {
        lock(&self.news).take()
    }

    /// Something is not to be had. Told once until it ends; the reason is kept up to date.
    pub(super) fn gap_begins(&self, wanted: &str, why: impl Into<String>) {
        let gap = Gap::new(wanted, why);
        {
            let mut gaps = lock(&self.gaps);
            if let Some(open) = gaps.get_mut(wanted) {
                open.gap = gap;
                return;
            }
            if gaps.len() >= MOST_GAPS {
                return;
            }
            gaps.insert(wanted.to_owned(), Open { gap: gap.clone(), since: Instant::now() });
        }
        self.tell(News::GapBegins(gap));
    }

    /// It is to be had; nothing happens where it was all along.
    pub(super) fn gap_ends(&self, wanted: &str) {
        let ended = lock(&self.gaps).shift_remove(wanted);
        if let Some(open) = ended {
            self.tell(News::GapEnds { gap: open.gap, lasted: open.since.elapsed() });
        }
    }

    /// The API server did not tell something, or was not there to be asked.
    pub(super) fn refused(&self, error: &Error) {
        let why = format!("{}: {}", error.of, error.why);
        if matches!(error.why, Why::Unreachable(_) | Why::NotLoggedIn(_)) {
            return self.gap_begins(API_SERVER, why);
        }
        self.gap_begins(&error.asked, why);
        self.gap_ends(API_SERVER);
    }

    /// The API server told something.
    pub(super) fn answered(&self, asked: &str) {
        self.gap_ends(API_SERVER);
        self.gap_ends(asked);
    }

    /// Ends every gap whose name begins so and of which `is_over` holds.
    pub(super) fn gaps_end(&self, prefix: &str, is_over: impl Fn(&str) -> bool) {
        let over: Vec<String> =
            lock(&self.gaps).keys().filter(|wanted| wanted.starts_with(prefix) && is_over(wanted)).cloned().collect();
        over.iter().for_each(|wanted| self.gap_ends(wanted));
    }

    pub(super) fn gaps(&self) -> Vec<Gap> {
        lock(&self.gaps).values().map(|open| open.gap.clone()).collect()
    }

    pub(super) fn pods_from(&self) -> Option<Source> {
        *lock(&self.pods_from)
    }

    pub(super) fn set_pods_from(&self, source: Option<Source>) {
        let before = std::mem::replace(&mut *lock(&self.pods_from), source);
        if before != source {
            self.tell(News::PodsFrom(source));
        }
    }
}

/// A thread that panicked while it held a lock left whole objects behind: every change here is one insertion.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// A gap is told when it begins and when it ends, whatever happens in between; each time the reader is woken.
    #[test]
    fn gaps_are_told_twice() {
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        let waker = move || {
            counter.fetch_add(1, Ordering::Relaxed);
        };
        let shared = Shared::new(Arc::default(), Box::new(waker));
        shared.gap_ends("pods");
        shared.gap_begins("pods", "500");
        shared.gap_begins("pods", "refused");
        assert_eq!(shared.gaps(), [Gap::new("pods", "refused")]);
        shared.gap_ends("pods");
        shared.gap_ends("pods");
        let news = shared.take_news();
        assert_eq!(news.first(), Some(&News::GapBegins(Gap::new("pods", "500"))));
        assert!(matches!(&news[1..], [News::GapEnds { gap, .. }] if gap.why == "refused"), "{news:?}");
        assert_eq!(woken.load(Ordering::Relaxed), 2);
        assert!(shared.gaps().is_empty());
    }

    /// A server that is away is one gap, whatever is asked of it; one that refuses is there.
    #[test]
    fn one_gap_for_the_server() {
        let shared = Shared::new(Arc::default(), Box::new(|| ()));
        let error = |asked: &str, why| Error::new(asked, "https://api", why);
        for asked in ["pods", "node", "events"] {
            shared.refused(&error(asked, Why::Unreachable("refused".to_owned())));
        }
        assert_eq!(shared.gaps(), [Gap::new(API_SERVER, "https://api: not reachable: refused")]);
        shared.refused(&error("pods", Why::NotFound));
        assert_eq!(shared.gaps(), [Gap::new("pods", "https://api: there is none (404)")]);
        shared.answered("pods");
        assert!(shared.gaps().is_empty());
    }
}
