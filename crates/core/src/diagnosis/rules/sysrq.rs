//! A kill that somebody asked for.
//!
//! `order=-1` in the header is sysrq-f (drivers/tty/sysrq.c, `moom_callback()`): a key press on the console, or `f` written
//! to /proc/sysrq-trigger by a person or a watchdog. Memory need not have been short.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::facts::Facts;
use crate::evidence::Part;

pub(super) const RULE: Rule = Rule {
    name: "sysrq",
    about: "Somebody asked the kernel for the kill (sysrq-f), whether or not memory was short.",
    check,
};

fn check(facts: &Facts<'_>) -> Answer {
    if !facts.is_sysrq() {
        return if facts.report.order.is_some() || !facts.report.victims.is_empty() {
            Answer::Absent
        } else {
            Answer::CannotTell(facts.missing("order of the allocation", Part::Header))
        };
    }
    Found::that(
        "Somebody asked for this kill",
        "The report has order -1: sysrq-f was pressed, or `f` was written to /proc/sysrq-trigger by a person or a watchdog. The \
         process with the most points died; nothing here says that memory was short.",
        &[Part::Header, Part::Sysrq],
    )
    .advise(
        Rank::Cause,
        "Find out who triggered sysrq-f",
        "Look in the audit log, in shell histories and among watchdog scripts for /proc/sysrq-trigger.",
        Some("grep -rn sysrq-trigger /etc /usr/local /opt 2>/dev/null".to_owned()),
    )
    .into()
}
