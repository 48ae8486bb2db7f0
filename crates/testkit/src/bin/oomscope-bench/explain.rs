//! `oomscope explain` beside other programs, on logs made here.

use anyhow::Result;
use serde_json::json;
use std::path::Path;

use crate::measure::{self, Command, Measured};
use crate::table::Table;
use crate::{FOLDER, OOMSCOPE, logs, rivals, setting};

/// All of it, under a name each.
pub(crate) fn measure(folder: &Path) -> Result<serde_json::Value> {
    let size = setting("BENCH_MIB", 1024)? << 20;
    let reports = setting("BENCH_REPORTS", 20_000)?;
    let runs = usize::try_from(setting("BENCH_RUNS", 5)?.max(1))?;
    let few = logs::few_reports(folder, size)?;
    Ok(json!({
        "few_reports": few_reports(&few, runs)?,
        "pipe": pipe(&few, runs)?,
        "one_line": one_line(&logs::one_line(folder, size)?, runs)?,
        "only_reports": only_reports(&logs::only_reports(folder, reports)?, runs)?,
    }))
}

fn explain(input: &Path) -> Command {
    Command::new(OOMSCOPE, &["explain", "-o", "json"]).arg(input)
}

fn ripgrep(arguments: &[&str]) -> Command {
    // Without its configuration file and without guessing that the log is binary: it must read all of it, as we do.
    let fixed = ["--no-config", "--text", "-c", "-e", "invoked oom-killer", "-e", "Killed process"];
    Command::new("rg", &[&fixed, arguments].concat())
}

/// The budget is stated for this one: within 1.5 times of ripgrep, within 32 MiB.
fn few_reports(log: &logs::Log, runs: usize) -> Result<serde_json::Value> {
    let measured = measure::alternate(&[explain(&log.path), ripgrep(&[]).arg(&log.path)], runs)?;
    Ok(beside_ripgrep(&format!("{}, {} reports", log.size(), log.reports), log, &measured, true))
}

fn pipe(log: &logs::Log, runs: usize) -> Result<serde_json::Value> {
    let ours = explain(Path::new("-")).fed_by_cat(&log.path);
    let measured = measure::alternate(&[ours, ripgrep(&["-"]).fed_by_cat(&log.path)], runs)?;
    Ok(beside_ripgrep("the same through a pipe", log, &measured, false))
}

fn one_line(log: &logs::Log, runs: usize) -> Result<serde_json::Value> {
    let measured = measure::alternate(&[explain(&log.path), ripgrep(&[]).arg(&log.path)], runs)?;
    Ok(beside_ripgrep(&format!("{} in a single line", log.size()), log, &measured, false))
}

fn beside_ripgrep(title: &str, log: &logs::Log, measured: &[Measured], has_time_budget: bool) -> serde_json::Value {
    let [ours, theirs] = measured else { return serde_json::Value::Null };
    let ratio = ours.seconds / theirs.seconds;
    let mut table = Table::new(title, &["", "median s", "MB/s", "peak RSS MiB", "reports"]);
    table.row(["oomscope explain", &secs(ours), &rate(log, ours), &mib(ours), &ours.lines_out.to_string()]);
    table.row(["ripgrep -c, two literals", &secs(theirs), &rate(log, theirs), &mib(theirs), "-"]);
    table.print();
    let budget = if has_time_budget { " (budget 1.50)" } else { "" };
    println!(
        "  ratio {ratio:.2}{budget}; peak RSS {} MiB (budget 32); reports found {} of {}",
        mib(ours),
        ours.lines_out,
        log.reports
    );
    json!({
        "bytes": log.bytes, "reports": log.reports, "reports_found": ours.lines_out, "ratio_to_ripgrep": ratio,
        "oomscope": ours, "ripgrep": theirs,
    })
}

fn only_reports(log: &logs::Log, runs: usize) -> Result<serde_json::Value> {
    let rivals = rivals::installed(Path::new(FOLDER).join("rivals").as_path())?;
    let mut commands = vec![explain(&log.path)];
    commands.extend(rivals.present.iter().map(|rival| Command::new(&rival.program, &[]).arg(&log.path)));
    let measured = measure::alternate(&commands, runs)?;

    let mut table = Table::new(
        &format!("nothing but reports: {}, {} reports", log.size(), log.reports),
        &["", "median s", "MB/s", "reports/s", "peak RSS MiB", "events", "what it extracts"],
    );
    let mut programs = Vec::new();
    let names =
        std::iter::once(("oomscope explain", OURS)).chain(rivals.present.iter().map(|r| (&*r.label, &*r.extracts)));
    for (index, ((name, extracts), run)) in names.zip(&measured).enumerate() {
        let events = if index == 0 { run.lines_out } else { run.counted.unwrap_or(0) };
        let per_second = format!("{:.0}", log.reports as f64 / run.seconds);
        table.row([name, &secs(run), &rate(log, run), &per_second, &mib(run), &events.to_string(), extracts]);
        programs.push(json!({"name": name, "extracts": extracts, "events": events, "run": run}));
    }
    table.print();
    for (name, why) in &rivals.missing {
        println!("  {name}: not measured, could not be installed: {why}");
    }
    Ok(json!({"bytes": log.bytes, "reports": log.reports, "programs": programs, "missing": rivals.missing}))
}

/// What a case holds, for the column that says what the others leave out.
const OURS: &str = "every field of the report (charges, statistics, task table, victims), identity, diagnosis";

fn secs(run: &Measured) -> String {
    format!("{:.3}", run.seconds)
}

fn rate(log: &logs::Log, run: &Measured) -> String {
    format!("{:.0}", log.bytes as f64 / 1e6 / run.seconds)
}

fn mib(run: &Measured) -> String {
    format!("{:.1}", run.peak_rss_kib as f64 / 1024.0)
}
