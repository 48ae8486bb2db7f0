//! Month names, as `dmesg -T`, the journal and syslog print them in the language of whoever ran them.
//!
//! glibc's abbreviated names (`%b`) of common languages. A word that means different months in different languages
//! (`lis` is October in Croatian, November in Polish and Czech; `srp`, `lip` likewise) is left out: no date is better
//! than a wrong one.

/// The month, 1…12, of a name in any of the known languages.
pub(super) fn month(name: &[u8]) -> Option<i8> {
    english(name).or_else(|| numbered(name)).or_else(|| translated(name))
}

/// `Jan`, `January`; nearly every log has these, so they are looked at first.
fn english(name: &[u8]) -> Option<i8> {
    let (month, full) = match name.get(..3)? {
        b"Jan" => (1, "January"),
        b"Feb" => (2, "February"),
        b"Mar" => (3, "March"),
        b"Apr" => (4, "April"),
        b"May" => (5, "May"),
        b"Jun" => (6, "June"),
        b"Jul" => (7, "July"),
        b"Aug" => (8, "August"),
        b"Sep" => (9, "September"),
        b"Oct" => (10, "October"),
        b"Nov" => (11, "November"),
        b"Dec" => (12, "December"),
        _ => return None,
    };
    (name.len() == 3 || full.as_bytes() == name).then_some(month)
}

/// `12月` (Chinese, Japanese), `12월` (Korean).
fn numbered(name: &[u8]) -> Option<i8> {
    let digits = name.strip_suffix("月".as_bytes()).or_else(|| name.strip_suffix("월".as_bytes()))?;
    std::str::from_utf8(digits).ok()?.parse().ok().filter(|month| (1..=12).contains(month))
}

fn translated(name: &[u8]) -> Option<i8> {
    let name = std::str::from_utf8(name).ok().filter(|name| name.len() <= 24)?.to_lowercase();
    let name = name.trim_end_matches('.');
    let (month, _) = (1..=12).zip(NAMES).find(|(_, names)| names.split(' ').any(|known| known == name))?;
    Some(month)
}

/// German, French, Spanish, Portuguese, Italian, Dutch, Swedish, Danish, Norwegian, Finnish, Russian, Ukrainian, Polish,
/// Czech, Hungarian, Turkish, Romanian, Greek; without the dot that some put behind them.
const NAMES: [&str; 12] = [
    "jan jän jänner januar januari janv janvier ene enero janeiro gen gennaio tammi янв января січ sty led oca ian ιαν",
    "feb februar februari févr février febrero fev fevereiro febbraio helmi фев февраля лют lut úno febr şub φεβ",
    "mär märz mrt maart mars mar marzo março maalis мар марта бер bře márc μάρ μαρ",
    "apr april avril abr abril aprile huhti апр апреля кві kwi dub ápr nis απρ",
    "mai may mayo mei maio mag maggio maj touko май мая тра kvě máj μάι μαΐ",
    "jun juni juin junio junho giu giugno kesä июн июня чер cze čen jún haz iun ιουν ιούν",
    "jul juli juil juillet julio julho lug luglio heinä июл июля лип čec júl tem iul ιουλ ιούλ",
    "aug august août ago agosto augusti augustus elo авг августа сер sie ağu αυγ αύγ",
    "sep sept september septembre septiembre set setembro settembre syys сен сентября вер wrz zář szept eyl σεπ",
    "okt oct oktober octobre octubre out outubro ott ottobre loka окт октября жов paź říj eki οκτ",
    "nov november novembre noviembre novembro marras ноя ноября лис kas noi νοε νοέ",
    "dez dezember déc décembre dic diciembre dicembre dezembro dec december joulu дек декабря гру gru pro ara δεκ",
];

#[cfg(test)]
mod tests {
    use super::*;

    /// The common languages map, an unknown or ambiguous word gives nothing.
    #[test]
    fn names_of_months() {
        for (name, expected) in [
            ("Dec", Some(12)),
            ("July", Some(7)),
            ("Dez", Some(12)),
            ("déc.", Some(12)),
            ("avril", Some(4)),
            ("12月", Some(12)),
            ("9월", Some(9)),
            ("дек", Some(12)),
            ("Март", None),
            ("lis", None),
            ("13月", None),
            ("Decx", None),
            ("", None),
        ] {
            assert_eq!(month(name.as_bytes()), expected, "{name}");
        }
    }

    /// No word stands for two months.
    #[test]
    fn no_name_is_ambiguous() {
        let mut all: Vec<&str> = NAMES.iter().flat_map(|names| names.split(' ')).collect();
        all.sort_unstable();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]), "{all:?}");
    }
}
