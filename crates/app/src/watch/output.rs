//! Where cases and notices go: first to whoever reads standard output, then to the store.
//!
//! Neither may hold up the recording, nor each other: a reader that has stopped reading (`| less`) must not keep an incident from
//! the disk, and a disk that hangs must not keep the evidence loop from its next reading. So there are two threads. The first
//! explains and stores; the second prints. Before each is a queue bounded in bytes, and nobody waits for room in it: what does
//! not fit is counted, and told when there is room again. Of the first queue, half is kept for kills that are told for
//! the first time; those that it loses all the same are still in the kernel's log for the next start.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use oomscope_core::case::Case;
use oomscope_core::incident::Incident;
use oomscope_core::incident::history::Recurrence;
use oomscope_core::incident::timeline::{ProcessPoint, Timeline};
use oomscope_core::notice::{Event, Notice, Severity};
use oomscope_core::report::{accounts as account, code};
use oomscope_sources::process::before_others;

use super::accounts::{Accounts, Again, LONGEST_HOLD, LOOK, Witnesses};
use super::queue::{Entry, Exit, queue};
use crate::cases::{CaseMaker, diagnosed};
use crate::cli::{Format, Printer, complain, counted, in_words};
use crate::store::Store;

/// What waits for whoever reads standard output, in bytes.
const PRINT_QUEUE: usize = 16 << 20;
/// What waits to be explained, in bytes.
const CASE_QUEUE: usize = 32 << 20;
/// Cases that wait for the store to take them, in bytes; more are given up, oldest first.
const UNSTORED: usize = 32 << 20;
/// A notice in a queue, its cgroup's path included, in bytes.
const NOTICE: usize = 1 << 10;
/// Cases that may still be told again; it happens within a second or two.
const TOLD: usize = 256;
/// How often the store is tried again.
const STORE_AGAIN: Duration = Duration::from_secs(2);
/// How long whoever reads standard output has for what is left at the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// What the evidence loop hands over.
#[derive(Debug)]
pub(crate) enum Message {
    /// A kill, as far as it is known.
    Incident {
        /// What is known.
        incident: Box<Incident>,
        /// 1, or more when it was told before and more is known now.
        revision: u32,
        /// It happened before watching began: it is stored, if it is not yet, and not printed.
        past: bool,
    },
    /// Something else.
    Notice(Notice),
}

/// Whoever takes it.
pub(crate) trait Sink {
    /// Takes one message.
    fn send(&self, message: Message);
}

/// How to print.
#[derive(Debug)]
pub(super) struct Style {
    pub(super) format: Format,
    pub(super) min_severity: Severity,
}

/// The writing end, and what ends when it is closed.
#[derive(Debug)]
pub(super) struct Output {
    queue: Option<Entry<Message>>,
    lost: Arc<Lost>,
    min_severity: Severity,
    cases: Option<JoinHandle<()>>,
    printer: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Output {
    /// Starts both threads.
    pub(super) fn start(
        printer: Printer,
        style: Style,
        store: Option<Store>,
        witnesses: Option<Witnesses>,
    ) -> anyhow::Result<Self> {
        let (to_print, prints) = queue();
        let (entry, messages) = queue();
        let min_severity = style.min_severity;
        let printing =
            std::thread::Builder::new().name("print".into()).spawn(move || print(printer, &style, &prints))?;
        let lost = Arc::new(Lost::default());
        let cases = Cases {
            maker: CaseMaker::default(),
            store,
            lost: Arc::clone(&lost),
            unstored: VecDeque::new(),
            complained: None,
            to_print,
            unprinted: 0,
            told: VecDeque::new(),
            accounts: witnesses.map(Accounts::start),
        };
        let cases = std::thread::Builder::new().name("cases".into()).spawn(move || cases.run(&messages))?;
        Ok(Self { queue: Some(entry), lost, min_severity, cases: Some(cases), printer: Some(printing) })
    }

    /// True while somebody reads what is printed.
    pub(super) fn is_heard(&self) -> bool {
        self.printer.as_ref().is_some_and(|printer| !printer.is_finished())
    }

    /// Waits until all is stored, and a moment for all to be printed: a reader that has stopped reading would be waited for
    /// for ever. Its thread ends with the program.
    pub(super) fn finish(mut self) -> anyhow::Result<()> {
        drop(self.queue.take());
        if let Some(cases) = self.cases.take() {
            let _ = cases.join();
        }
        let until = Instant::now() + LAST_WORDS;
        while self.is_heard() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(5));
        }
        let ended = self.printer.take_if(|printer| printer.is_finished());
        ended.map_or(Ok(()), |printer| printer.join().unwrap_or(Ok(())))
    }
}

impl Sink for Output {
    fn send(&self, message: Message) {
        let (bytes, most, lost) = match &message {
            Message::Notice(notice) if notice.severity() < self.min_severity => return,
            Message::Notice(_) => (NOTICE, CASE_QUEUE / 2, &self.lost.notices),
            Message::Incident { incident, revision: 1, .. } => (bytes_of(incident), CASE_QUEUE, &self.lost.incidents),
            Message::Incident { incident, .. } => (bytes_of(incident), CASE_QUEUE / 2, &self.lost.revisions),
        };
        if self.queue.as_ref().is_some_and(|queue| !queue.put(message, bytes, most)) {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// How many messages found no room in the first queue and were not told of yet.
#[derive(Debug, Default)]
struct Lost {
    incidents: AtomicU64,
    revisions: AtomicU64,
    notices: AtomicU64,
}

impl Lost {
    fn tell(&self) {
        let kinds = [(&self.incidents, "incident"), (&self.revisions, "revision"), (&self.notices, "notice")];
        for (lost, what) in kinds {
            let count = lost.swap(0, Ordering::Relaxed);
            if count > 0 {
                complain(&format!(
                    "neither stored nor printed, because storing took too long: {}",
                    counted(count, what)
                ));
            }
        }
    }
}

/// About what an incident takes in memory with its diagnosis, in bytes. What can be large is counted: the recording, the lines of
/// the log and what was read from them.
fn bytes_of(incident: &Incident) -> usize {
    /// A task of the table, a mapping, a process.
    const ITEM: usize = 256;
    const DIAGNOSIS: usize = 4 << 10;
    let rows = |timeline: &Timeline| {
        let rows = timeline.cgroups.iter().map(|cgroup| &cgroup.rows);
        rows.map(|rows| rows.len() * (1 + rows.columns.len()) * size_of::<Option<u64>>()).sum::<usize>()
    };
    let processes = |timeline: &Timeline| {
        let processes = timeline.processes.iter().map(|process| {
            let mappings = process.snapshot.iter().filter_map(|snapshot| snapshot.mappings.as_ref());
            let items = 1 + mappings.map(Vec::len).sum::<usize>();
            process.points.len() * size_of::<ProcessPoint>() + items * ITEM
        });
        processes.sum::<usize>()
    };
    let recorded: usize = incident.timeline.iter().map(|timeline| rows(timeline) + processes(timeline)).sum();
    let tasks: usize = incident.kills.iter().map(|report| report.tasks.len() * ITEM).sum();
    let lines = incident.evidence.iter().flat_map(|evidence| &evidence.text);
    let text: usize = lines.map(|line| line.as_bytes().len() + ITEM / 4).sum();
    DIAGNOSIS + size_of::<Incident>() + recorded + tasks + text
}

/// What is to be printed.
struct Print {
    what: What,
    /// So many before it were not printed.
    unprinted: u64,
}

enum What {
    Case(Arc<Case>),
    /// One that is told, perhaps again, for what Kubernetes says.
    Account(Arc<Case>),
    Notice(Notice),
}

/// The first thread.
struct Cases {
    maker: CaseMaker,
    store: Option<Store>,
    /// By the evidence loop.
    lost: Arc<Lost>,
    /// Cases that the store did not take, as when the disk is full; tried again. With their sizes.
    unstored: VecDeque<(Arc<Case>, usize)>,
    /// The store's trouble, said once.
    complained: Option<String>,
    to_print: Entry<Print>,
    unprinted: u64,
    /// The latest cases, which may be told again.
    told: VecDeque<(String, Option<Recurrence>)>,
    /// What Kubernetes says.
    accounts: Option<Accounts>,
}

impl Cases {
    fn run(mut self, messages: &Exit<Message>) {
        // Where it may not, the reader says so: it lacks the same privilege.
        let _ = before_others();
        loop {
            let patience = if self.accounts.is_some() { LOOK } else { STORE_AGAIN };
            match messages.take_within(patience) {
                Ok(Message::Notice(notice)) => self.notice(notice),
                Ok(Message::Incident { incident, revision, past }) => self.case(*incident, revision, past),
                Err(RecvTimeoutError::Timeout) => self.store(),
                Err(RecvTimeoutError::Disconnected) => break,
            }
            self.lost.tell();
            self.tell_accounts(Instant::now());
        }
        // What is known of the accounts that are still waited for.
        self.tell_accounts(Instant::now() + LONGEST_HOLD);
        self.store();
        self.lost.tell();
        tell_unprinted(self.unprinted);
    }

    fn notice(&mut self, notice: Notice) {
        if let (Event::RecordsLost { .. }, Some(accounts)) = (&notice.event, &mut self.accounts) {
            accounts.log_was_lost();
        }
        self.print(What::Notice(notice), NOTICE);
    }

    /// Tells again what Kubernetes has an account of by now, and what only it tells.
    fn tell_accounts(&mut self, now: Instant) {
        let again = self.accounts.as_mut().map(|accounts| accounts.turn(now)).unwrap_or_default();
        for Again { incident, revision, past } in again {
            if past && !incident.kills.is_empty() {
                // It was counted when it came, however long ago that is.
                let case = Arc::new(Case { revision, ..diagnosed(incident) });
                self.keep(&case, bytes_of(&case.incident));
            } else {
                self.tell(incident, revision, past, What::Account);
            }
        }
    }

    fn case(&mut self, mut incident: Incident, mut revision: u32, past: bool) {
        if let Some(accounts) = &mut self.accounts {
            revision = accounts.prepare(&mut incident, revision);
        }
        if past && self.accounts.is_some() {
            let case = Case { revision, ..self.explain(incident) };
            let bytes = bytes_of(&case.incident);
            if let Some(accounts) = &mut self.accounts {
                accounts.told(&case, bytes, past);
                accounts.hold(&case, bytes);
            }
            return;
        }
        let case = self.tell(incident, revision, past, What::Case);
        if let Some(accounts) = &mut self.accounts {
            accounts.told(&case, bytes_of(&case.incident), past);
        }
    }

    fn tell(&mut self, incident: Incident, revision: u32, past: bool, what: fn(Arc<Case>) -> What) -> Arc<Case> {
        let case = Arc::new(Case { revision, ..self.explain(incident) });
        let bytes = bytes_of(&case.incident);
        if !past {
            self.print(what(Arc::clone(&case)), bytes);
        }
        self.keep(&case, bytes);
        case
    }

    fn keep(&mut self, case: &Arc<Case>, bytes: usize) {
        if self.store.is_some() {
            self.unstored.push_back((Arc::clone(case), bytes));
            self.store();
        }
    }

    /// Stores what is not stored yet, in order.
    fn store(&mut self) {
        let Some(store) = &mut self.store else { return };
        while let Some((case, _)) = self.unstored.front() {
            match store.put(case) {
                Ok(put) => put.notices.iter().for_each(|notice| complain(notice)),
                Err(error) if self.unstored.iter().map(|(_, bytes)| bytes).sum::<usize>() > UNSTORED => {
                    complain(&format!("{} is lost: {}", case.id, in_words(&error.into())));
                }
                Err(error) => {
                    let error = in_words(&error.into());
                    if self.complained.as_ref() != Some(&error) {
                        complain(&format!("{} is not stored yet: {error}", case.id));
                    }
                    self.complained = Some(error);
                    return;
                }
            }
            self.unstored.pop_front();
        }
        if self.complained.take().is_some() {
            complain("all incidents are stored again");
        }
    }

    /// Only the first telling of a kill is one more kill; what happened before it stays the same.
    fn explain(&mut self, mut incident: Incident) -> Case {
        let id = Case::id_of(&incident);
        if let Some((_, recurrence)) = self.told.iter().find(|(told, _)| *told == id) {
            incident.recurrence.clone_from(recurrence);
            return diagnosed(incident);
        }
        let case = self.maker.explain(incident);
        if self.told.len() == TOLD {
            self.told.pop_front();
        }
        self.told.push_back((id, case.incident.recurrence.clone()));
        case
    }

    fn print(&mut self, what: What, bytes: usize) {
        let is_taken = self.to_print.put(Print { what, unprinted: self.unprinted }, bytes, PRINT_QUEUE);
        self.unprinted = if is_taken { 0 } else { self.unprinted + 1 };
    }
}

/// The second thread. Ends when there is nothing more to print, or nobody to read it.
fn print(mut printer: Printer, style: &Style, prints: &Exit<Print>) -> anyhow::Result<()> {
    let _ = before_others();
    // Cases whose code was told.
    let mut coded: VecDeque<String> = VecDeque::new();
    for Print { what, unprinted } in prints.take_all() {
        tell_unprinted(unprinted);
        let code = match &what {
            What::Case(case) | What::Account(case) => code::line(case).map(|line| (case.id.clone(), line)),
            What::Notice(_) => None,
        };
        let code = code.filter(|(id, _)| !coded.contains(id));
        match what {
            // A person has read it already, and is told which code it was; a program is told all.
            What::Case(case) if case.revision > 1 && style.format != Format::Json => {
                if let Some((_, line)) = &code {
                    printer.line(line)?;
                }
            }
            What::Account(case) if case.revision > 1 && style.format != Format::Json => {
                if let Some(line) = account::line(&case) {
                    printer.line(&line)?;
                }
            }
            What::Case(case) | What::Account(case) => printer.case(&case)?,
            What::Notice(notice) => printer.line(&format!("{}  {notice}", time_of(&notice)))?,
        }
        if let Some((id, _)) = code {
            coded.push_back(id);
            if coded.len() > TOLD {
                coded.pop_front();
            }
        }
    }
    Ok(())
}

fn tell_unprinted(count: u64) {
    if count > 0 {
        complain(&format!("not printed, because standard output was not read in time: {}", counted(count, "message")));
    }
}

/// Time of day here, to the millisecond; journald and `kubectl logs` add the date.
fn time_of(notice: &Notice) -> String {
    let wall = notice.at.wall.map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string());
    wall.unwrap_or_else(|| "--:--:--.---".to_owned())
}

#[cfg(test)]
mod tests {
    use oomscope_core::time::When;

    use super::*;

    fn notice(event: Event) -> Message {
        Message::Notice(Notice { at: When::default(), cgroup: None, event })
    }

    fn told(revision: u32) -> Message {
        Message::Incident { incident: Box::default(), revision, past: false }
    }

    /// While nothing is taken, nobody waits: notices have half of the room, kills that are told for the first time have the rest, and
    /// what is lost is counted. What nobody wants to see takes no room.
    #[test]
    fn nobody_waits_for_room() {
        let (entry, messages) = queue();
        let lost = Arc::new(Lost::default());
        let min_severity = Severity::Warning;
        let output = Output { queue: Some(entry), lost: Arc::clone(&lost), min_severity, cases: None, printer: None };
        output.send(notice(Event::Vanished));
        assert!(messages.take_within(Duration::ZERO).is_err());
        for _ in 0..CASE_QUEUE / NOTICE {
            output.send(notice(Event::RecordsLost { count: None }));
        }
        output.send(told(2));
        output.send(told(1));
        let counts = [&lost.notices, &lost.revisions, &lost.incidents].map(|lost| lost.load(Ordering::Relaxed));
        assert_eq!(counts, [(CASE_QUEUE / NOTICE / 2) as u64, 1, 0]);
        drop(output);
        let last = messages.take_all().last();
        assert!(matches!(last, Some(Message::Incident { revision: 1, .. })), "{last:?}");
    }
}
