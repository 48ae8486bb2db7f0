//! What `oomscope audit` shows: the worst first, what has the same risk for the same reason together, each with its fix.

use super::page::Page;
use super::style::Role;
use super::text::TextOptions;
use super::words;
use crate::audit::{Audit, Finding, Place, Risk, Target};
use crate::text::{escape, name_in_text};

/// Names of containers shown of one finding.
const CONTAINERS: usize = 6;
/// Places shown of one finding.
const PLACES: usize = 3;
/// Up to so many findings of one kind each is shown with its own patch; of more only the first, as they are alike.
const PATCHES: usize = 3;
/// How far the text of a finding stands in.
const INDENT: usize = 4;

/// The audit for a terminal. Ends with a newline.
///
/// `most`: how many findings of the same kind are shown; the others are counted.
#[must_use]
pub fn render(audit: &Audit, most: usize, options: &TextOptions) -> String {
    let mut page = Page::new(options);
    verdict(&mut page, audit);
    let mut number = 0;
    for risk in [Risk::High, Risk::Medium, Risk::Low] {
        let kinds = kinds(audit, risk);
        if kinds.is_empty() {
            continue;
        }
        page.heading(&risk.to_string().to_uppercase(), &meaning(risk));
        for (at, kind) in kinds.iter().enumerate() {
            if at > 0 {
                page.blank();
            }
            number += 1;
            write_kind(&mut page, number, kind, most);
        }
    }
    gaps(&mut page, audit);
    page.finish()
}

fn meaning(risk: Risk) -> String {
    match risk {
        Risk::High => "kills or starves something, now or with the next spike",
        Risk::Medium => "will hurt under load, or hurts without an alarm",
        Risk::Low => "worth knowing",
    }
    .to_owned()
}

fn verdict(page: &mut Page, audit: &Audit) {
    let looked_at = looked_at(audit);
    if audit.findings.is_empty() {
        let line = page.paint(Role::Strong, "NOTHING FOUND");
        page.raw(&line);
        return page.paragraph(Role::Plain, 0, &format!("in {looked_at}"));
    }
    let count = |risk: Risk| Some((audit.count(risk), risk)).filter(|(count, _)| *count > 0);
    let counts: Vec<String> = [Risk::High, Risk::Medium, Risk::Low]
        .into_iter()
        .filter_map(count)
        .map(|(count, risk)| format!("{} {}", words::grouped(count as i128), risk.to_string().to_uppercase()))
        .collect();
    let role = if audit.worst() == Some(Risk::High) { Role::Verdict } else { Role::Strong };
    let line = format!("{} RISKS: {}", page.glyphs.cross, counts.join(", "));
    let line = page.paint(role, &line);
    page.raw(&line);
    page.paragraph(Role::Plain, 0, &format!("in {looked_at}"));
}

/// `12 workloads and 1 node`.
fn looked_at(audit: &Audit) -> String {
    let workloads = (audit.workloads > 0 || audit.nodes == 0)
        .then(|| words::count(usize::try_from(audit.workloads).unwrap_or(usize::MAX), "workload", "workloads"));
    let nodes =
        (audit.nodes > 0).then(|| words::count(usize::try_from(audit.nodes).unwrap_or(usize::MAX), "node", "nodes"));
    let parts: Vec<String> = workloads.into_iter().chain(nodes).collect();
    let unread = match audit.unread {
        0 => String::new(),
        1 => "; one thing could not be read".to_owned(),
        more => format!("; {more} could not be read"),
    };
    format!("{}{unread}", parts.join(" and "))
}

/// Findings of one risk, those with the same title of the same rule together, in the order of the first of each.
fn kinds(audit: &Audit, risk: Risk) -> Vec<Vec<&Finding>> {
    let mut kinds = indexmap::IndexMap::<(&str, &str), Vec<&Finding>>::new();
    for finding in audit.findings.iter().filter(|finding| finding.risk == risk) {
        kinds.entry((&finding.rule, &finding.title)).or_default().push(finding);
    }
    kinds.into_values().collect()
}

fn write_kind(page: &mut Page, number: usize, kind: &[&Finding], most: usize) {
    let Some(first) = kind.first() else { return };
    let times = if kind.len() > 1 { format!(" ({})", words::grouped(kind.len() as i128)) } else { String::new() };
    let role = if first.risk == Risk::High { Role::Verdict } else { Role::Strong };
    page.hanging(role, &format!("{number}."), INDENT, &format!("{}{times}", first.title));
    page.paragraph(Role::Plain, INDENT, &format!("{} {}", first.why, first.fix));
    for (at, finding) in kind.iter().take(most).enumerate() {
        let with_patch = at == 0 || kind.len() <= PATCHES;
        write_finding(page, finding, with_patch);
    }
    if kind.len() > most {
        let more = words::count(kind.len() - most, "more", "more");
        page.paragraph(Role::Dim, INDENT, &format!("and {more} (--all shows them, -o json has the patch of each)"));
    }
}

fn write_finding(page: &mut Page, finding: &Finding, with_patch: bool) {
    let bullet = format!("{}{}", " ".repeat(INDENT), page.glyphs.bullet);
    page.hanging(Role::Strong, &bullet, INDENT + 2, &whose(&finding.target, &finding.containers));
    page.paragraph(Role::Plain, INDENT + 2, &finding.evidence);
    for place in finding.places.iter().take(PLACES) {
        // Not wrapped: a broken path can neither be clicked nor copied.
        let place = page.paint(Role::Dim, &page.text(&place_in_words(place)));
        page.line(&format!("{}{place}", " ".repeat(INDENT + 2)));
    }
    if let Some(patch) = finding.patch.as_ref().filter(|_| with_patch) {
        page.patch(INDENT + 2, patch);
    }
}

/// `Deployment shop/api, container a (3 pods)`.
fn whose(target: &Target, containers: &[String]) -> String {
    let named = |name: &String| name_in_text(name.as_bytes());
    let namespace = target.namespace.as_ref().map(|namespace| format!("{}/", named(namespace))).unwrap_or_default();
    let mut who = format!("{} {namespace}{}", named(&target.kind), named(&target.name));
    if !containers.is_empty() {
        let mut names: Vec<String> = containers.iter().take(CONTAINERS).map(named).collect();
        if containers.len() > CONTAINERS {
            names.push(format!("{} more", containers.len() - CONTAINERS));
        }
        let word = if containers.len() == 1 { "container" } else { "containers" };
        who = format!("{who}, {word} {}", names.join(", "));
    }
    match target.pods {
        Some(pods) if pods != 1 => {
            format!("{who} ({})", words::count(usize::try_from(pods).unwrap_or(usize::MAX), "pod", "pods"))
        }
        _ => who,
    }
}

/// `deploy/api.yaml:14, rendered from shop/templates/api.yaml`.
fn place_in_words(place: &Place) -> String {
    let file = if place.file == "-" { "standard input".to_owned() } else { escape(place.file.as_bytes()) };
    let line = place.line.map(|line| format!(":{line}")).unwrap_or_default();
    let template = place.template.as_ref().map(|template| format!(", rendered from {}", escape(template.as_bytes())));
    format!("{file}{line}{}", template.unwrap_or_default())
}

fn gaps(page: &mut Page, audit: &Audit) {
    if audit.gaps.is_empty() {
        return;
    }
    page.heading("WHAT IS NOT KNOWN, AND WHY", "");
    for gap in &audit.gaps {
        page.hanging(Role::Gap, page.glyphs.bullet, 2, &format!("{}: {}", gap.wanted, gap.why));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(name: &str, risk: Risk) -> Finding {
        Finding {
            risk,
            rule: "no_limit".to_owned(),
            title: "No memory limit".to_owned(),
            why: "Nothing stops a leak.".to_owned(),
            target: Target {
                kind: "Deployment".to_owned(),
                namespace: Some("shop".to_owned()),
                name: name.to_owned(),
                pods: Some(3),
            },
            containers: vec!["a".to_owned()],
            places: vec![Place {
                file: "-".to_owned(),
                line: Some(4),
                template: Some("shop/templates/api.yaml".to_owned()),
            }],
            evidence: "it can take everything".to_owned(),
            fix: "Set a limit.".to_owned(),
            patch: Some("spec: {}\n".to_owned()),
        }
    }

    /// The whole page: what is alike stands together, and a name that would clear the screen is shown.
    #[test]
    fn page() {
        let findings = vec![finding("\u{1b}[2Japi", Risk::High), finding("b", Risk::High), finding("c", Risk::Low)];
        let audit = Audit { findings, workloads: 3, ..Audit::default() };
        let page = render(&audit, 1, &TextOptions { unicode: false, ..TextOptions::default() });
        let expected = r#"X RISKS: 2 HIGH, 1 LOW
  in 3 workloads

HIGH  kills or starves something, now or with the next spike
  1.  No memory limit (2)
      Nothing stops a leak. Set a limit.
      * Deployment shop/"\\x1b[2Japi", container a (3 pods)
        it can take everything
        standard input:4, rendered from shop/templates/api.yaml
        | spec: {}
      and 1 more (--all shows them, -o json has the patch of each)

LOW  worth knowing
  2.  No memory limit
      Nothing stops a leak. Set a limit.
      * Deployment shop/c, container a (3 pods)
        it can take everything
        standard input:4, rendered from shop/templates/api.yaml
        | spec: {}
"#;
        assert_eq!(page, expected.replace("\\\\", "\\"), "{page}");
    }

    /// Nothing found is said with what was looked at.
    #[test]
    fn nothing() {
        let page = render(&Audit { workloads: 2, unread: 1, ..Audit::default() }, 9, &TextOptions::default());
        assert_eq!(page, "NOTHING FOUND\n  in 2 workloads; one thing could not be read\n");
    }
}
