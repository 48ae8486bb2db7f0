//! What `oomscope next` shows: who would be killed, how far that is from changing, and the ranking.

use super::page::Page;
use super::style::Role;
use super::table::{self, Row as Line, Shrink, left, right};
use super::text::TextOptions;
use super::words;
use crate::incident::describe::describe;
use crate::next::{Domain, Margin, Outlook, Row};

/// A process name has up to 15 bytes.
const NAME: usize = 15;
/// A cgroup in a few words.
const CGROUP: usize = 20;

/// The outlook for a terminal. Ends with a newline.
#[must_use]
pub fn render(outlook: &Outlook, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    verdict(&mut page, outlook);
    facts(&mut page, outlook);
    ranking(&mut page, outlook);
    for gap in &outlook.gaps {
        page.paragraph(Role::Gap, 0, &format!("not known: {}: {}", gap.wanted, gap.why));
    }
    page.finish()
}

/// What a page about more than this shows of it: who is first, and the ranking.
pub(super) fn short(page: &mut Page, outlook: &Outlook) {
    page.heading("WHO DIES NEXT", "");
    if let Some(first) = outlook.first() {
        page.fact("first", Role::Strong, &who(first));
    }
    facts(page, outlook);
    ranking(page, outlook);
}

fn verdict(page: &mut Page, outlook: &Outlook) {
    let domain = &outlook.domain;
    let line = match outlook.first() {
        Some(_) if domain.oom_kill_disabled => "NOBODY WOULD BE KILLED".to_owned(),
        Some(first) => format!("NEXT: {}", who(first)),
        None => "NOBODY CAN BE KILLED".to_owned(),
    };
    let line = page.text(&line);
    let line = format!("{} {}", page.paint(Role::Verdict, page.glyphs.cross), page.paint(Role::Verdict, &line));
    page.raw(&line);
    page.paragraph(Role::Plain, 0, &occasion(outlook));
}

fn who(row: &Row) -> String {
    words::process(Some(&row.process.comm), "pid", Some(row.process.pid))
}

/// When that would be.
fn occasion(outlook: &Outlook) -> String {
    let domain = &outlook.domain;
    let place = place(domain);
    let when = match (domain.limit_bytes, outlook.excess_bytes) {
        (Some(limit), Some(excess)) if domain.limit_is_supposed => {
            format!("at once, if {place} were limited to {limit}: it holds {excess} more that cannot be given up")
        }
        (Some(limit), _) if domain.limit_is_supposed => format!("if {place} were limited to {limit} and reached that"),
        (Some(limit), _) if domain.cgroup.is_some() => format!("if {place} reaches its limit of {limit}"),
        (Some(memory), _) => format!("if {place} runs out of its {memory} of memory"),
        (None, _) => format!("if {place} ran out of memory"),
    };
    match (domain.oom_kill_disabled, outlook.first()) {
        (true, _) => format!("{when}: oom_kill_disable is set, so who asks for memory waits until there is some"),
        (false, None) => format!("{when}: every process is exempt, or there is none"),
        (false, Some(_)) => when,
    }
}

fn place(domain: &Domain) -> String {
    domain.cgroup.as_ref().map_or_else(|| "this machine".to_owned(), |cgroup| describe(cgroup.as_bytes()))
}

fn facts(page: &mut Page, outlook: &Outlook) {
    let domain = &outlook.domain;
    page.blank();
    let mut memory = Vec::new();
    if let Some(usage) = domain.usage_bytes {
        memory.push(format!("{usage} in use"));
    }
    if let Some(stays) = domain.unreclaimable_bytes {
        memory.push(format!("{stays} of it cannot be given up"));
    }
    if let Some(room) = outlook.room_bytes {
        memory.push(format!("{room} can still be asked for"));
    }
    if !memory.is_empty() {
        page.facts("memory", Role::Plain, &memory);
    }
    if let Some(with) = outlook.first().and_then(|first| first.dies_with.as_ref()) {
        page.fact("with it", Role::Strong, &format!("all of {} (memory.oom.group)", describe(with.as_bytes())));
    }
    if let Some(margin) = &outlook.margin {
        page.fact("margin", Role::Plain, &in_words(margin));
    }
    if let Some(cgroup) = &domain.cgroup {
        page.path("cgroup", &cgroup.to_string());
    }
}

fn in_words(margin: &Margin) -> String {
    let second = words::process(Some(&margin.comm), "pid", Some(margin.pid));
    let close = if margin.too_close { "too close to call: " } else { "" };
    format!("{close}{second} takes its place if it grows, or the first shrinks, by {}", margin.bytes)
}

fn ranking(page: &mut Page, outlook: &Outlook) {
    if outlook.processes.is_empty() {
        return;
    }
    page.heading("THE RANKING", "the kernel kills the highest score first");
    let columns = [
        right("#", 4),
        left("name", 0).shrinking(Shrink::End, NAME),
        right("pid", 0),
        right("score", 0),
        right("memory", 3),
        right("adj", 1),
        left("cgroup", 2).shrinking(Shrink::Middle, CGROUP),
    ];
    let rows: Vec<Line> = outlook.processes.iter().map(|row| line(row, &outlook.domain)).collect();
    table::write(page, &columns, &rows);
    if outlook.processes_omitted > 0 {
        page.paragraph(Role::Dim, 0, &format!("and {} more", words::grouped(i128::from(outlook.processes_omitted))));
    }
}

fn line(row: &Row, domain: &Domain) -> Line {
    // The domain's own name stands above the table.
    let elsewhere = row.cgroup.as_ref().filter(|cgroup| Some(*cgroup) != domain.cgroup.as_ref());
    let role = match row.rank {
        Some(1) => Role::Verdict,
        Some(_) => Role::Plain,
        None => Role::Dim,
    };
    Line { role, cells: cells(row, elsewhere.map_or_else(String::new, |cgroup| describe(cgroup.as_bytes()))) }
}

/// Of a process in the ranking: place, name, pid, score, memory, `oom_score_adj`, and where it lives.
pub(in crate::report) fn cells(row: &Row, place: String) -> Vec<String> {
    vec![
        row.rank.map_or_else(String::new, |rank| rank.to_string()),
        words::name(&row.process.comm),
        row.process.pid.to_string(),
        row.rank.map_or_else(|| "spared".to_owned(), |_| words::grouped(i128::from(row.points))),
        row.memory_bytes.to_string(),
        words::adj(row.process.oom_score_adj),
        place,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Process;
    use crate::next::{Candidate, Machine, outlook};
    use crate::units::Bytes;

    const MIB: u64 = 1 << 20;

    fn candidate(pid: u32, name: &str, mib: u64) -> Candidate {
        let anon_bytes = Some(Bytes(mib * MIB));
        let process = Process { pid, comm: name.into(), anon_bytes, file_bytes: Some(Bytes(0)), ..Process::default() };
        Candidate { process, cgroup: Some("/app".into()), dies_with: Some("/app".into()), ..Candidate::default() }
    }

    fn shown(limit_mib: u64, supposed: bool) -> String {
        let domain = Domain {
            cgroup: Some("/app".into()),
            limit_bytes: Some(Bytes(limit_mib * MIB)),
            limit_is_supposed: supposed,
            usage_bytes: Some(Bytes(200 * MIB)),
            unreclaimable_bytes: Some(Bytes(150 * MIB)),
            ..Domain::default()
        };
        let machine = Machine { page_size: 4096, kernel_release: None };
        let candidates = vec![candidate(7, "small", 30), candidate(8, "\u{1b}[31mbig", 100)];
        render(&outlook(domain, candidates, machine, 10), &TextOptions { unicode: false, ..TextOptions::default() })
    }

    /// The whole page, with a name that tries to colour the terminal.
    #[test]
    fn page() {
        let expected = r#"X NEXT: "\x1b[31mbig" (pid 8)
  if cgroup /app reaches its limit of 256 MiB

  memory    200 MiB in use - 150 MiB of it cannot be given up
            106 MiB can still be asked for
  with it   all of cgroup /app (memory.oom.group)
  margin    small (pid 7) takes its place if it grows, or the first shrinks, by
            70 MiB
  cgroup    /app

THE RANKING  the kernel kills the highest score first
  #  name           pid   score   memory
  1  "\x1b[31mbig"    8  25 600  100 MiB
  2  small            7   7 680   30 MiB
"#;
        let page = shown(256, false);
        assert_eq!(page, expected, "{page}");
    }

    /// A limit that what is held exceeds already would kill at once.
    #[test]
    fn at_once() {
        let page = shown(100, true);
        assert!(page.contains("at once, if cgroup /app were limited to 100 MiB: it holds 50 MiB more"), "{page}");
        assert!(shown(512, true).contains("if cgroup /app were limited to 512 MiB and reached that"));
    }
}
