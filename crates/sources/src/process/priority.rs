//! Being awake when it matters.

use oomscope_core::evidence::Gap;
use thread_priority::unix::{
    RealtimeThreadSchedulePolicy, ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id,
};
use thread_priority::{ThreadPriority, ThreadPriorityValue};

/// Makes the calling thread real-time (`SCHED_FIFO`), above every ordinary one. Between the kernel's decision and the end of the
/// process there are a few milliseconds, in which such a thread had its reads done for 48 to 50 of 50 kills, an ordinary one for 33 to 47.
/// It must sleep when it has nothing to do: nothing else runs on its CPU while it does not.
///
/// `priority` is from 1 to 99; anything else is taken for the nearest of these.
///
/// # Errors
/// A gap that says why not: it takes `CAP_SYS_NICE` or an `RLIMIT_RTPRIO`, and on some kernels a real-time budget of the cgroup.
pub fn real_time(priority: u8) -> Result<(), Gap> {
    let gap = |why: String| Gap::new("a real-time thread for the moment of the kill", why);
    let priority = ThreadPriorityValue::try_from(priority.clamp(1, 99)).map_err(|e| gap(e.to_string()))?;
    let fifo = ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::Fifo);
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(priority), fifo)
        .map_err(|e| gap(reason(&e)))
}

fn reason(error: &thread_priority::Error) -> String {
    match error {
        thread_priority::Error::OS(errno) => std::io::Error::from_raw_os_error(*errno).to_string(),
        other => format!("{other:?}"),
    }
}

/// Of nice(2). Not the least there is: that is for whoever keeps the machine alive.
const BEFORE_OTHERS: i32 = -15;

/// Of nice(2), for what may take its time.
const AFTER_OTHERS: i32 = 10;

/// Makes the calling thread go before ordinary ones, on the path from a kill to its case: what it has to do is short, and the machine is at
/// its busiest then (median 7.3 ms from the kernel's line to the case without). Threads that it starts later inherit it.
///
/// # Errors
/// Without `CAP_SYS_NICE`, as [`real_time`].
pub fn before_others() -> std::io::Result<()> {
    // Of this thread: Linux gives each its own, whatever POSIX says.
    Ok(rustix::process::setpriority_process(None, BEFORE_OTHERS)?)
}

/// Makes the calling thread go after ordinary ones: it must not hold up the case of a kill, nor the program that is looked at.
///
/// # Errors
/// None that are known of: it takes no privilege.
pub fn after_others() -> std::io::Result<()> {
    Ok(rustix::process::setpriority_process(None, AFTER_OTHERS)?)
}
