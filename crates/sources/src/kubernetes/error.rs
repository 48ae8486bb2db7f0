//! What was asked, of whom, and what came of it, in a sentence for somebody who wants to mend it.

use std::fmt;
use std::time::Duration;

use oomscope_core::text::escape;

/// A question that was not answered. Holds no token, no header and no body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked}{}: {why}", from(.of))]
pub struct Error {
    /// What was sought: `pods of node worker-3`.
    pub asked: String,
    /// Of whom: scheme, host and port; empty where nobody could be asked.
    pub of: String,
    /// Why there was no answer.
    pub why: Why,
}

fn from(of: &str) -> String {
    if of.is_empty() { String::new() } else { format!(" from {of}") }
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It is not known where the API server is, or as whom to ask.
    NotConfigured(String),
    /// No connection, or one that broke.
    Unreachable(String),
    /// No answer in time.
    TooSlow(Duration),
    /// 401: the server does not accept who asks.
    NotLoggedIn(String),
    /// 403: the permission is missing.
    Forbidden {
        /// The rule that would allow it: `list pods`.
        needs: String,
        /// The server's words.
        message: String,
    },
    /// 404.
    NotFound,
    /// 410: the version asked for is no longer kept.
    Expired,
    /// 429: asked too often.
    Throttled {
        /// When to ask again, where the server said so.
        retry_after: Option<Duration>,
    },
    /// Any other answer than the one sought.
    Answer {
        /// The HTTP status.
        code: u16,
        /// The server's words.
        message: String,
    },
    /// An answer that cannot be read.
    Unreadable(String),
}

impl Error {
    pub(crate) fn new(asked: impl Into<String>, of: impl Into<String>, why: Why) -> Self {
        Self { asked: asked.into(), of: of.into(), why }
    }

    /// True where asking again later may help without anybody mending anything.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        matches!(self.why, Why::Unreachable(_) | Why::TooSlow(_) | Why::Throttled { .. } | Why::Expired)
            || matches!(self.why, Why::Answer { code: 500.., .. })
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConfigured(why) => f.write_str(&escape(why.as_bytes())),
            Self::Unreachable(why) => write!(f, "not reachable: {}", escape(why.as_bytes())),
            Self::TooSlow(after) => write!(f, "no answer in {} s", after.as_secs_f32()),
            Self::NotLoggedIn(why) => {
                write!(f, "not logged in (401): token or certificate missing, wrong or expired{}", said(why))
            }
            Self::Forbidden { needs, message } => {
                write!(f, "not permitted (403): the role needs the rule \"{needs}\"{}", said(message))
            }
            Self::NotFound => f.write_str("there is none (404)"),
            Self::Expired => f.write_str("the server no longer keeps that version (410)"),
            Self::Throttled { retry_after: Some(after) } => {
                write!(f, "asked too often (429): wait {} s", after.as_secs())
            }
            Self::Throttled { retry_after: None } => f.write_str("asked too often (429)"),
            Self::Answer { code, message } => write!(f, "the server answered {code}{}", said(message)),
            Self::Unreadable(why) => write!(f, "the answer cannot be read: {}", escape(why.as_bytes())),
        }
    }
}

/// The server's own words, cut: a proxy's error page may be long.
fn said(message: &str) -> String {
    const LONGEST: usize = 300;
    let message = message.trim();
    if message.is_empty() {
        return String::new();
    }
    let cut: String = message.chars().take(LONGEST).collect();
    let more = if cut.len() < message.len() { "…" } else { "" };
    format!(" (it said: {}{more})", escape(cut.as_bytes()))
}
