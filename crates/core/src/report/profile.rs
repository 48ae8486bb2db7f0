//! What `oomscope profile` shows: how much, which functions, and the calls that led there.

mod calls;
mod label;

use super::page::Page;
use super::style::Role;
use super::table::{self, Row, Shrink, left, right};
use super::text::TextOptions;
use super::words;
use crate::incident::describe::describe;
use crate::profile::tree::Tree;
use crate::profile::{Function, Measure, Profile, Share, functions};
use crate::text::{Untrusted, name_in_text};
use crate::units::Bytes;

/// Functions listed.
const FUNCTIONS: usize = 8;
/// With fewer samples the numbers are anecdotes.
const FEW_SAMPLES: u64 = 30;
/// Gaps shown.
const GAPS: usize = 12;

/// The profile for a terminal, with at most `count` calls. Ends with a newline.
#[must_use]
pub fn render(profile: &Profile, count: usize, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    let measure = profile.measure();
    let functions = functions(profile, measure);
    title(&mut page, profile, &functions);
    facts(&mut page, profile);
    if profile.total(measure).0 > 0 {
        function_table(&mut page, profile, &functions);
        page.heading("CALLS", "the first call at the top, the page's touch at the bottom");
        calls::write(&mut page, profile, &Tree::new(profile, measure), measure, count);
    }
    limits_of_method(&mut page, profile);
    for gap in profile.gaps.iter().take(GAPS) {
        page.paragraph(Role::Gap, 0, &format!("not known: {}: {}", gap.wanted, gap.why));
    }
    if let Some(more) = profile.gaps.len().checked_sub(GAPS + 1) {
        page.paragraph(Role::Gap, 0, &format!("and {} more that is not known", more + 1));
    }
    page.finish()
}

/// The answer in one line.
fn title(page: &mut Page, profile: &Profile, functions: &[Function<'_>]) {
    let time = words::span(profile.duration_us);
    let whose = whose(profile);
    let line = match (profile.measure(), profile.held_bytes) {
        _ if profile.bytes.0 == 0 => format!("{whose}: no new memory in {time}"),
        (Measure::Held, Some(held)) => {
            format!("{whose}: {held} more held after {time}, of {} made resident", profile.bytes)
        }
        _ => format!("{whose}: {} made resident in {time}", profile.bytes),
    };
    let line = page.text(&line);
    for line in super::layout::wrap(&line, page.width()) {
        let line = page.paint(Role::Strong, &line);
        page.raw(&line);
    }
    if profile.bytes.0 == 0 {
        return page.paragraph(Role::Plain, 0, &nothing(profile));
    }
    let Some(first) = functions.first() else {
        return page.paragraph(Role::Plain, 0, "Nothing of it is held: what was made resident was given back.");
    };
    let whole = profile.total(profile.measure());
    let share = profile.share(first.bytes, whole);
    let name = first.frame.map_or_else(|| "stacks that could not be read".to_owned(), label::whole);
    let text = format!("{} most: {name}: {}, {}", page.glyphs.cross, first.bytes, in_words(share, page));
    for (at, line) in super::layout::wrap(&page.text(&text), page.width()).iter().enumerate() {
        let line = page.paint(Role::Verdict, line);
        page.raw(&format!("{}{line}", if at > 0 { "  " } else { "" }));
    }
}

fn whose(profile: &Profile) -> String {
    let target = &profile.target;
    let cgroup = target.cgroup.as_ref().map(|cgroup| describe(cgroup.as_bytes()));
    let pod = target.identity.as_ref().filter(|identity| identity.pod.is_some()).and_then(words::pod);
    let place = pod.map(|pod| format!("pod {pod}")).or(cgroup).unwrap_or_else(|| "this machine".to_owned());
    match target.pid {
        Some(pid) => {
            let comm = profile.processes.iter().find(|process| process.pid == pid).map(|process| &process.comm);
            format!("{} in {place}", process(comm, pid))
        }
        None => place,
    }
}

fn process(comm: Option<&Untrusted>, pid: u32) -> String {
    comm.map_or_else(|| format!("process {pid}"), |comm| format!("{} (pid {pid})", name_in_text(comm.as_bytes())))
}

/// Why there is nothing to show.
fn nothing(profile: &Profile) -> String {
    let sampling = &profile.sampling;
    if sampling.lost > 0 {
        return "Its faults were sampled, but every sample was lost: a longer --period makes fewer.".to_owned();
    }
    let least = Bytes::from_pages(sampling.period, sampling.page_bytes.0);
    format!(
        "No page fault of it was sampled. It took no new memory, or far less than {least}, for which there is one sample; a smaller \
         --period or a longer --for sees less. Memory that was resident before is not seen: `oomscope inspect` shows that."
    )
}

fn in_words(share: Share, page: &Page) -> String {
    format!("{} {}{}", share.percent(), if page.is_unicode() { "±" } else { "+-" }, share.points())
}

fn facts(page: &mut Page, profile: &Profile) {
    page.blank();
    let sampling = &profile.sampling;
    if let Some(cgroup) = &profile.target.cgroup {
        page.path("cgroup", &cgroup.to_string());
    }
    let host = profile.host.as_ref().map(|host| format!("host {}", name_in_text(host.as_bytes())));
    let facts: Vec<String> = [words::wall(&profile.at), host].into_iter().flatten().collect();
    page.facts("begun", Role::Plain, &facts);
    let grouped = |n: u64| words::grouped(i128::from(n));
    let each = if sampling.period == 1 {
        "every fault".to_owned()
    } else {
        format!("one fault in {}", grouped(sampling.period))
    };
    let mut facts = vec![
        format!("{} {}", grouped(sampling.samples), if sampling.samples == 1 { "sample" } else { "samples" }),
        each,
        format!("pages of {}", sampling.page_bytes),
    ];
    if sampling.lost > 0 {
        facts.push(format!("{} lost", grouped(sampling.lost)));
    }
    page.facts("sampled", Role::Plain, &facts);
    let unattributed = sampling.unattributed_bytes;
    if unattributed.0 > profile.bytes.0 / 20 {
        let text = format!(
            "{unattributed} more came without a sampled fault: huge pages that no sample met, or memory that was populated in advance"
        );
        page.fact("besides", Role::Gap, &text);
    }
    if (1..FEW_SAMPLES).contains(&sampling.samples) {
        page.fact("beware", Role::Gap, "so few samples say little: a smaller --period or a longer --for takes more");
    }
}

fn function_table(page: &mut Page, profile: &Profile, functions: &[Function<'_>]) {
    let whole = profile.total(profile.measure());
    page.heading("FUNCTIONS", "of the program itself, whatever allocator or library they used");
    let columns = [
        right("bytes", 0),
        right("share", 0),
        left("function", 0).shrinking(Shrink::Middle, 24),
        left("where", 1).shrinking(Shrink::Middle, 12),
        left("called from", 2).shrinking(Shrink::Middle, 12),
        left("process", 3).shrinking(Shrink::End, 15),
    ];
    let several = profile.processes.len() > 1;
    let rows: Vec<Row> = functions
        .iter()
        .take(FUNCTIONS)
        .enumerate()
        .map(|(at, function)| {
            let process = profile.processes.get(function.process).filter(|_| several);
            let cells = vec![
                function.bytes.to_string(),
                in_words(profile.share(function.bytes, whole), page),
                function.frame.map_or_else(|| label::NO_STACK.to_owned(), label::name),
                function.frame.and_then(label::place).unwrap_or_default(),
                function.caller.map(label::name).unwrap_or_default(),
                process.map_or_else(String::new, |process| name_in_text(process.comm.as_bytes())),
            ];
            Row { role: if at == 0 { Role::Verdict } else { Role::Plain }, cells }
        })
        .collect();
    table::write(page, &columns, &rows);
    if functions.len() > FUNCTIONS {
        let rest = functions.iter().skip(FUNCTIONS).fold(0_u64, |sum, function| sum.saturating_add(function.bytes.0));
        let more = words::grouped((functions.len() - FUNCTIONS) as i128);
        page.paragraph(Role::Dim, 0, &format!("and {more} more with {} together", Bytes(rest)));
    }
}

/// What nobody may conclude from the numbers.
fn limits_of_method(page: &mut Page, profile: &Profile) {
    if profile.bytes.0 == 0 {
        return;
    }
    page.blank();
    let text = match profile.measure() {
        Measure::MadeResident => {
            "Made resident is not held: what was given back since counts too. --held tells them apart."
        }
        Measure::Held => {
            "Held is what the kernel still has for the process: memory that the program freed, and its allocator kept, counts too. What \
             was resident before the profile began does not."
        }
    };
    page.paragraph(Role::Dim, 0, text);
}

#[cfg(test)]
mod tests;
