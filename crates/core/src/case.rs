//! Station 6 of the path: incident + diagnosis + version of the rules, the unit that is stored, shown and shared.

use serde::{Deserialize, Serialize};

use crate::diagnosis::{Diagnosis, RULESET};
use crate::incident::Incident;

/// Name and version of the JSON form.
pub const SCHEMA: &str = "oomscope.case/v1";

/// One OOM event, explained. Serialises to the public JSON of `oomscope.case/v1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Case {
    /// [`SCHEMA`].
    pub schema: String,
    /// Names the kill itself, see [`Case::id_of`].
    pub id: String,
    /// Raised when the same case is printed again with more evidence.
    pub revision: u32,
    /// Version of the rules: [`RULESET`].
    pub ruleset: String,
    /// What is known.
    pub incident: Incident,
    /// What it means.
    pub diagnosis: Diagnosis,
}

impl Case {
    /// Puts the two together.
    #[must_use]
    pub fn new(incident: Incident, diagnosis: Diagnosis) -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            id: Self::id_of(&incident),
            revision: 1,
            ruleset: RULESET.to_owned(),
            incident,
            diagnosis,
        }
    }

    /// `oom-<boot>-<instant>-<victim>`: the first eight digits of the boot id (`x` where unknown), the microseconds since
    /// boot of the kill line (else `w` + the wall clock, else `l` + the line number), and the victim's pid (else the
    /// trigger's with a `t`, else `0`).
    ///
    /// Two readers of the same kill, through different transports, arrive at the same id where both know these.
    #[must_use]
    pub fn id_of(incident: &Incident) -> String {
        let boot = incident
            .origin
            .boot_id
            .as_deref()
            .map_or_else(|| "x".to_owned(), |b| b.chars().filter(char::is_ascii_hexdigit).take(8).collect());
        let at = &incident.at;
        let instant = match (at.boot_us, at.wall, at.wall_local) {
            (Some(us), _, _) => us.0.to_string(),
            (None, Some(wall), _) => format!("w{}", wall.as_microsecond()),
            (None, None, Some(local)) => format!("w{}", local.strftime("%Y%m%dT%H%M%S%.f")),
            (None, None, None) => format!("l{}", incident.origin.lines.map_or(0, |l| l.0)),
        };
        let report = incident.report();
        let who = match (report.victims.first(), report.trigger.as_ref().and_then(|t| t.pid)) {
            (Some(victim), _) => victim.pid.to_string(),
            (None, Some(pid)) => format!("t{pid}"),
            (None, None) => "0".to_owned(),
        };
        format!("oom-{boot}-{instant}-{who}")
    }
}
