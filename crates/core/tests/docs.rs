//! Pages of the documentation that are made from the code, or held against it, so that a stale one fails.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on may panic, also in its helpers")]
#![allow(
    clippy::disallowed_methods,
    reason = "the fence is for core itself: a test may read the pages and logs of the repository"
)]

#[allow(dead_code, reason = "the stories of the live tests; two of them are read here")]
#[path = "live/stories.rs"]
mod stories;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use oomscope_core::audit::{self, Audit, Finding, Place, Risk, Target};
use oomscope_core::case::Case;
use oomscope_core::diagnosis::rules::RULES;
use oomscope_core::diagnosis::{RULESET, diagnose};
use oomscope_core::evidence::{
    ChainLevel, Frame, Gap, Hook, HotStack, HotStacks, KillContext, Party, Stacks, Task, VictimMemory, VictimStack,
};
use oomscope_core::formats::klog::Scanner;
use oomscope_core::incident::Incident;
use oomscope_core::incident::kill_context::Surroundings;
use oomscope_core::kubernetes::{Directory, Document, KillWitness, LogRead, Reconciler, Source};
use oomscope_core::report::json;
use oomscope_core::time::{BootTime, When};
use oomscope_testkit::golden;
use serde_json::Value;

/// Objects whose keys are the kernel's own words, not names of the interface.
const KEYS_OF_THE_KERNEL: [&str; 4] = ["memory_stat", "subtree_stat", "totals_bytes", "counters_bytes"];

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// docs/rules.md is the list of the rules: `UPDATE_GOLDEN=1` writes it.
#[test]
fn rules_page_is_the_list() {
    let mut page = format!(
        "<!-- generated from RULES in crates/core/src/diagnosis/rules/mod.rs: `make golden` writes this page -->\n\n\
         # The rules\n\n\
         Every rule is asked of every incident, in this order; that is also the order in which findings are told. A rule\n\
         finds something, shows that it is not so (and is then silent), or cannot tell, which is reported as a gap with the\n\
         reason. The name is the `rule` of a finding in `-o json`, and the file in which the rule explains itself.\n\n\
         Version of the rule set: {RULESET}. `oomscope rules` prints the same list.\n\n\
         | rule | what it tells |\n|---|---|\n"
    );
    for rule in RULES {
        let name = rule.name;
        writeln!(page, "| [`{name}`](../crates/core/src/diagnosis/rules/{name}.rs) | {} |", rule.about).unwrap();
    }
    golden::compare(repository().join("docs/rules.md"), &page);
}

/// The list in docs/audit.md is that of the audit's rules, and the page names every field of its JSON.
#[test]
fn audit_page_is_the_list() {
    let path = repository().join("docs/audit.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once("<!-- begin: generated").unwrap();
    let (note, rest) = rest.split_once("-->\n").unwrap();
    let (_, after) = rest.split_once("<!-- end -->").unwrap();
    let mut list = "| rule | of a | what it finds |\n|---|---|---|\n".to_owned();
    for rule in audit::rules::RULES {
        let (name, of, about) = (rule.name, rule.asks.of(), rule.about);
        writeln!(list, "| [`{name}`](../crates/core/src/audit/rules/{name}.rs) | {of} | {about} |").unwrap();
    }
    golden::compare(path, &format!("{before}<!-- begin: generated{note}-->\n{list}<!-- end -->{after}"));

    let audit = Audit { findings: vec![audit_finding()], gaps: vec![Gap::new("a", "b")], ..Audit::default() };
    let mut names = BTreeSet::new();
    for line in json::audit(&audit).unwrap().lines() {
        names_of(&serde_json::from_str(line).unwrap(), &mut names);
    }
    assert!(names.len() > 20, "{names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/audit.md does not name {missing:?}");
}

/// One that has everything.
fn audit_finding() -> Finding {
    let text = || "x".to_owned();
    Finding {
        risk: Risk::High,
        rule: text(),
        title: text(),
        why: text(),
        target: Target { kind: text(), namespace: Some(text()), name: text(), pods: Some(1) },
        containers: vec![text()],
        places: vec![Place { file: text(), line: Some(1), template: Some(text()) }],
        evidence: text(),
        fix: text(),
        patch: Some(text()),
    }
}

/// docs/json.md names every field that cases of all kinds have.
#[test]
fn json_page_names_every_field() {
    let page = std::fs::read_to_string(repository().join("docs/json.md")).unwrap();
    let logs = ["crates/app/src/cli/demo/recorded-6.12.log", "crates/testkit/corpus/bench"];
    let mut names = BTreeSet::new();
    for log in logs.iter().flat_map(|path| logs_at(&repository().join(path))) {
        for case in cases_of(&std::fs::read(log).unwrap()) {
            names_of(&serde_json::to_value(case).unwrap(), &mut names);
        }
    }
    for incident in [stories::spike(), stories::sidecar_killed_unseen()] {
        names_of(&serde_json::to_value(Case::new(incident.clone(), diagnose(&incident))).unwrap(), &mut names);
    }
    names_of(&serde_json::to_value(seen_in_the_kernel()).unwrap(), &mut names);
    for case in told_by_kubernetes() {
        names_of(&serde_json::to_value(case).unwrap(), &mut names);
    }
    assert!(names.len() > 80, "the logs gave cases: {names:?}");
    assert!(names.contains("ended_by") && names.contains("cause"), "so did the objects: {names:?}");
    let missing: Vec<_> = names.iter().filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert!(missing.is_empty(), "docs/json.md does not name {missing:?}");
}

/// A kill that only a program in the kernel saw, with every field of stacks.
fn seen_in_the_kernel() -> Case {
    let frame = Frame { inlined: true, ..Frame::default() };
    let context = KillContext {
        at: BootTime(1),
        hook: Hook::OomKillProcess,
        trigger: Party::default(),
        victim: Party::default(),
        gfp_mask: None,
        order: None,
        global: Some(false),
        limit_cgroup_id: Some(1),
        chain: vec![ChainLevel { cgroup_id: 1, ..ChainLevel::default() }],
        victim_memory: VictimMemory::default(),
        tasks: vec![Task::default()],
        tasks_complete: true,
    };
    let around = Surroundings { path_of: &|_| Some("/a".into()), cgroup_version: Some(2) };
    let mut incident = Incident::from_context(When::default(), None, context, around, Vec::new());
    let victims = vec![VictimStack { user: vec![frame.clone()], ..VictimStack::default() }];
    incident.add_stacks(Stacks { user: vec![frame.clone()], kernel: Vec::new(), victims });
    let stacks = vec![HotStack { frames: vec![frame], ..HotStack::default() }];
    incident.add_hot_stacks(HotStacks { stacks, ..HotStacks::default() });
    Case::new(incident.clone(), diagnose(&incident))
}

/// Kills and ends of the recorded cluster, each with Kubernetes' account.
fn told_by_kubernetes() -> Vec<Case> {
    let corpus = repository().join("crates/testkit/corpus/kubernetes");
    let mut cases = Vec::new();
    for folder in ["01-single-container-crashloop", "07-tmpfs-emptydir", "10-node-pressure-eviction"]
        .map(|name| corpus.join(name))
    {
        let mut directory = Directory::default();
        for file in logs_at(&folder) {
            let text = std::fs::read_to_string(file).unwrap();
            for value in serde_json::Deserializer::from_str(&text).into_iter::<Value>().map_while(Result::ok) {
                directory.see_document(Document::read(value), Source::File, None);
            }
        }
        let kills = std::fs::read(folder.join("kmsg.txt")).map(|log| cases_of(&log)).unwrap_or_default();
        let witnesses: Vec<KillWitness> = kills.iter().filter_map(KillWitness::of).collect();
        let reconciler = Reconciler::new(&directory, &witnesses, LogRead::Logs);
        cases.extend(kills.iter().map(|case| {
            let mut incident = case.incident.clone();
            directory.complete(incident.identity.as_mut().unwrap());
            incident.add_kubernetes(reconciler.account(case).unwrap());
            Case::new(incident.clone(), diagnose(&incident))
        }));
        cases.extend(reconciler.untold().into_iter().map(|incident| Case::new(incident.clone(), diagnose(&incident))));
    }
    cases
}

fn logs_at(path: &Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.to_owned()];
    }
    std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()).collect()
}

fn cases_of(log: &[u8]) -> Vec<Case> {
    let mut events = Vec::new();
    let mut scanner = Scanner::new();
    scanner.push(log, &mut |event| events.push(event));
    scanner.finish(&mut |event| events.push(event));
    let incidents = events.into_iter().map(|event| Incident::from_log(event, None));
    incidents.map(|incident| (diagnose(&incident), incident)).map(|(d, i)| Case::new(i, d)).collect()
}

fn names_of(value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                names.insert(name.clone());
                if !KEYS_OF_THE_KERNEL.contains(&name.as_str()) {
                    names_of(value, names);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names_of(item, names)),
        _ => {}
    }
}
