//! List and watch: one kind of object as it is, and every change from there on, across whatever happens to the connection.
//!
//! kube's own watcher is not used, for three reasons. It asks for lists of bounded pages out of the server's store, which for the pods of
//! one node reads every pod of the cluster; it has no time limit for a list; and it says nothing when a watch begins again after a
//! failure, so that nobody could tell when a gap ended.
//!
//! A watch goes on where it broke off, so that nothing is lost and nothing is told. Where the server no longer has that version (410),
//! all is listed anew. Only what could not be listed, or not be watched again, is a gap.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use kube::core::WatchEvent;
use serde::de::DeserializeOwned;

use super::super::api::{Ask, From, Lenient, Server, status_refusal};
use super::super::{Error, Why};
use super::pace::{Backoff, Pace, shortened};
use super::shared::Shared;

/// Objects of a page, for what the server does not have in its memory (events); what it has comes in one.
const PAGE: u32 = 100;
/// A watch is over this long after the server should have ended it.
const GRACE: Duration = Duration::from_secs(10);
/// A watch that lasted this long was a success, whatever ended it.
const STEADY: Duration = Duration::from_secs(20);

/// What happens to a kind of object.
pub(super) enum Seen<T> {
    /// A list begins.
    ListBegins,
    /// The list names it.
    Listed(Lenient<T>),
    /// It is there, perhaps changed.
    Present(Lenient<T>),
    /// It is gone. Its last state.
    Gone(Lenient<T>),
    /// The list is over: what it did not name is gone.
    ListEnds,
}

impl<T> Seen<T> {
    /// The object, where it is about one.
    pub(super) fn object(self) -> Option<Lenient<T>> {
        match self {
            Self::Listed(object) | Self::Present(object) | Self::Gone(object) => Some(object),
            Self::ListBegins | Self::ListEnds => None,
        }
    }
}

/// Follows what an [`Ask`] lists.
pub(super) struct Reflector {
    pub(super) server: Server,
    pub(super) ask: Ask,
    pub(super) pace: Pace,
    pub(super) shared: Arc<Shared>,
}

impl Reflector {
    /// Goes on as long as it is polled. `on_reach` hears whenever the server is reached or is not.
    pub(super) async fn run<T>(self, mut on: impl FnMut(Seen<T>), on_reach: impl Fn(bool))
    where
        T: DeserializeOwned + Clone + Send + 'static,
    {
        let mut backoff = Backoff::new(self.pace);
        let mut state = State::Unknown { at_least: "0".to_owned() };
        loop {
            let began = Instant::now();
            let (next, outcome) = match state {
                State::Unknown { at_least } => self.list(&at_least, &mut on).await,
                State::Known { version } => self.watch(&version, &mut on, &on_reach).await,
            };
            state = next;
            let wish = match outcome {
                Outcome::Listed => {
                    self.reached(&on_reach);
                    continue;
                }
                // A server that ends every watch at once must not be asked without a pause.
                Outcome::WatchEnded if began.elapsed() > STEADY => {
                    backoff.succeeded();
                    continue;
                }
                Outcome::WatchEnded => None,
                Outcome::Refused(error) => {
                    self.shared.refused(&error);
                    on_reach(false);
                    match error.why {
                        Why::Throttled { retry_after } => retry_after,
                        _ => None,
                    }
                }
            };
            if began.elapsed() > STEADY {
                backoff.succeeded();
            }
            tokio::time::sleep(backoff.failed(wish)).await;
        }
    }

    fn reached(&self, on_reach: &impl Fn(bool)) {
        self.shared.answered(&self.ask.what);
        on_reach(true);
    }

    /// All of it, from the server's memory, and at least as new as what was seen before.
    async fn list<T: DeserializeOwned>(&self, at_least: &str, on: &mut impl FnMut(Seen<T>)) -> (State, Outcome) {
        let mut pages = Vec::new();
        let mut next: Option<String> = None;
        let version = loop {
            let from = next.as_deref().map_or(From::NotOlderThan(at_least), From::Next);
            let page = match self.server.page::<T>(&self.ask, &from, PAGE).await {
                Ok(page) => page,
                Err(error) => {
                    // A version that the server does not have, or not yet (504), must not be asked for again and again.
                    let newest = matches!(error.why, Why::Expired | Why::Answer { code: 400 | 504, .. });
                    let at_least = if newest { "0" } else { at_least }.to_owned();
                    return (State::Unknown { at_least }, Outcome::Refused(error));
                }
            };
            pages.push(page.items);
            next = page.metadata.next.filter(|token| !token.is_empty());
            if next.is_none() {
                break page.metadata.resource_version;
            }
        };
        on(Seen::ListBegins);
        pages.into_iter().flatten().for_each(|object| on(Seen::Listed(object)));
        on(Seen::ListEnds);
        match version {
            Some(version) => (State::Known { version }, Outcome::Listed),
            None => {
                let why = Why::Unreadable("a list without a resourceVersion".to_owned());
                (State::Unknown { at_least: "0".to_owned() }, Outcome::Refused(self.error(why)))
            }
        }
    }

    /// Changes from a version on, until the watch ends or breaks off.
    async fn watch<T>(&self, version: &str, on: &mut impl FnMut(Seen<T>), on_reach: &impl Fn(bool)) -> (State, Outcome)
    where
        T: DeserializeOwned + Clone + Send + 'static,
    {
        let mut version = version.to_owned();
        let longest = shortened(self.pace.watch, 20);
        let events = match self.server.watch::<T>(&self.ask, &version, longest).await {
            Ok(events) => events,
            Err(error) if matches!(error.why, Why::Expired) => {
                return (State::Unknown { at_least: version }, Outcome::WatchEnded);
            }
            Err(error) => return (State::Known { version }, Outcome::Refused(error)),
        };
        self.reached(on_reach);
        let mut events = std::pin::pin!(events);
        let over = tokio::time::sleep(longest + GRACE);
        let mut over = std::pin::pin!(over);
        loop {
            let next = futures_util::future::select(events.next(), over.as_mut()).await;
            let futures_util::future::Either::Left((Some(event), _)) = next else {
                // Ended as agreed, or silent beyond it.
                return (State::Known { version }, Outcome::WatchEnded);
            };
            let (seen, new_version) = match event {
                Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)) => {
                    let version = object.resource_version.clone();
                    (Some(Seen::Present(object)), version)
                }
                Ok(WatchEvent::Deleted(object)) => {
                    let version = object.resource_version.clone();
                    (Some(Seen::Gone(object)), version)
                }
                Ok(WatchEvent::Bookmark(bookmark)) => (None, Some(bookmark.metadata.resource_version)),
                Ok(WatchEvent::Error(status)) => {
                    let why = status_refusal(&status, &self.ask.needs("watch"));
                    return (after(version, &why), Outcome::WatchEnded);
                }
                Err(error) => return (after(version, &error.why), Outcome::WatchEnded),
            };
            version = new_version.unwrap_or(version);
            seen.into_iter().for_each(&mut *on);
        }
    }

    fn error(&self, why: Why) -> Error {
        Error::new(self.ask.what.clone(), self.server.url.clone(), why)
    }
}

enum State {
    /// To be listed, at least as new as this version.
    Unknown { at_least: String },
    /// All is known up to this version.
    Known { version: String },
}

enum Outcome {
    Listed,
    /// A watch that had begun is over, as agreed or not; nothing is lost yet.
    WatchEnded,
    /// There was no answer, or a refusal.
    Refused(Error),
}

/// Where to go on after an error in the middle of a watch.
fn after(version: String, why: &Why) -> State {
    match why {
        // A line that cannot be read may have been any change.
        Why::Expired | Why::Unreadable(_) => State::Unknown { at_least: version },
        _ => State::Known { version },
    }
}
