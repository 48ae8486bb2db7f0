//! Counters that rise with a kill: v2 `memory.events` and `memory.events.local`, v1 `memory.oom_control`.

use super::pairs;
use crate::evidence::Events;

/// Reads `memory.events` or `memory.events.local`.
#[must_use]
pub fn events(text: &[u8]) -> Events {
    let mut events = Events::default();
    for (key, value) in pairs(text) {
        let counter = match key {
            b"low" => &mut events.low,
            b"high" => &mut events.high,
            b"max" => &mut events.max,
            b"oom" => &mut events.oom,
            b"oom_kill" => &mut events.oom_kill,
            b"oom_group_kill" => &mut events.oom_group_kill,
            _ => continue,
        };
        *counter = Some(value);
    }
    events
}

/// v1 `memory.oom_control`. `None`: the kernel does not say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OomControl {
    /// Processes wait at the limit instead of being killed, where this is set.
    pub oom_kill_disable: Option<bool>,
    /// Processes are waiting at the limit now.
    pub under_oom: Option<bool>,
    /// Processes of this very cgroup killed by any OOM killer (≥ 4.13).
    pub oom_kill: Option<u64>,
}

/// Reads v1 `memory.oom_control`.
#[must_use]
pub fn oom_control(text: &[u8]) -> OomControl {
    let mut control = OomControl::default();
    for (key, value) in pairs(text) {
        match key {
            b"oom_kill_disable" => control.oom_kill_disable = Some(value != 0),
            b"under_oom" => control.under_oom = Some(value != 0),
            b"oom_kill" => control.oom_kill = Some(value),
            _ => {}
        }
    }
    control
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each counter lands in its own place; what a kernel does not have stays unknown; newer keys and damage do no harm.
    #[test]
    fn counters() {
        let text = b"low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\nsock_throttled 7\nmax x\n\n oom 9\n";
        let all = Events {
            low: Some(1),
            high: Some(2),
            max: Some(3),
            oom: Some(4),
            oom_kill: Some(5),
            oom_group_kill: Some(6),
        };
        assert_eq!(events(text), all);
        let old = events(b"low 0\nhigh 0\nmax 9\noom 0\n");
        assert_eq!((old.max, old.oom_kill, old.oom_group_kill), (Some(9), None, None));
        assert_eq!(events(b"\xff\xfe"), Events::default());
    }

    /// What v1 says, also before it counted kills.
    #[test]
    fn v1() {
        let control = oom_control(b"oom_kill_disable 0\nunder_oom 1\noom_kill 3\n");
        let expected = OomControl { oom_kill_disable: Some(false), under_oom: Some(true), oom_kill: Some(3) };
        assert_eq!(control, expected);
        assert_eq!(oom_control(b"oom_kill_disable 0\nunder_oom 0\n").oom_kill, None);
    }
}
