use super::*;

/// Lengths of time as people write them; nothing, the past and what nobody waits for are refused.
#[test]
fn times() {
    assert_eq!(profile_time("10s"), Ok(Duration::from_secs(10)));
    assert_eq!(profile_time("1h 30s"), Ok(Duration::from_secs(3630)));
    for refused in ["", "5", "0s", "-5m", "25h", "x"] {
        assert!(profile_time(refused).is_err(), "{refused}");
    }
}
