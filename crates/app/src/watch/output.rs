//! Where cases and notices go: first to whoever reads standard output, then to the store.
//!
//! Neither may hold up the recording, nor each other: a reader that has stopped reading (`| less`) must not keep an incident from
//! the disk. So there are two threads. The first explains and stores; the second prints. Between them is a queue of fixed
//! length; what does not fit is stored, not printed, and the loss is told when printing goes on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use oomscope_core::case::Case;
use oomscope_core::incident::Incident;
use oomscope_core::incident::history::Recurrence;
use oomscope_core::notice::{Notice, Severity};

use crate::cases::{CaseMaker, diagnosed};
use crate::cli::{Format, Printer, complain, in_words};
use crate::store::Store;

/// Messages that wait for whoever reads standard output.
const PRINT_QUEUE: usize = 1024;
/// Messages that wait to be explained; each may hold a recording of some hundred KiB.
const CASE_QUEUE: usize = 256;
/// Cases that may still be told again; it happens within a second or two.
const TOLD: usize = 256;
/// Cases that wait for the store to take them; more are given up, oldest first.
const UNSTORED: usize = 256;
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
    queue: Option<SyncSender<Message>>,
    cases: Option<JoinHandle<()>>,
    printer: Option<JoinHandle<anyhow::Result<()>>>,
}

impl Output {
    /// Starts both threads.
    pub(super) fn start(printer: Printer, style: Style, store: Option<Store>) -> anyhow::Result<Self> {
        let (to_print, prints) = sync_channel(PRINT_QUEUE);
        let (queue, messages) = sync_channel(CASE_QUEUE);
        let printing =
            std::thread::Builder::new().name("print".into()).spawn(move || print(printer, &style, &prints))?;
        let cases = Cases {
            maker: CaseMaker::default(),
            store,
            unstored: VecDeque::new(),
            complained: None,
            to_print,
            unprinted: 0,
            told: VecDeque::new(),
        };
        let cases = std::thread::Builder::new().name("cases".into()).spawn(move || cases.run(&messages))?;
        Ok(Self { queue: Some(queue), cases: Some(cases), printer: Some(printing) })
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
    /// Waits where hundreds are unexplained: a kill is worth more than a sample.
    fn send(&self, message: Message) {
        if let Some(queue) = &self.queue {
            // The thread lives as long as the queue; if it panicked there is nobody left to tell.
            let _ = queue.send(message);
        }
    }
}

/// What is to be printed.
enum Print {
    Case(Arc<Case>),
    Notice(Notice),
    /// So many of them were not printed.
    Unprinted(u64),
}

/// The first thread.
struct Cases {
    maker: CaseMaker,
    store: Option<Store>,
    /// Cases that the store did not take, as when the disk is full; tried again.
    unstored: VecDeque<Arc<Case>>,
    /// The store's trouble, said once.
    complained: Option<String>,
    to_print: SyncSender<Print>,
    unprinted: u64,
    /// The latest cases, which may be told again.
    told: VecDeque<(String, Option<Recurrence>)>,
}

impl Cases {
    fn run(mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(STORE_AGAIN) {
                Ok(Message::Notice(notice)) => self.print(Print::Notice(notice)),
                Ok(Message::Incident { incident, revision, past }) => self.case(*incident, revision, past),
                Err(RecvTimeoutError::Timeout) => self.store(),
                Err(RecvTimeoutError::Disconnected) => return self.store(),
            }
        }
    }

    fn case(&mut self, incident: Incident, revision: u32, past: bool) {
        let case = Arc::new(Case { revision, ..self.explain(incident) });
        if !past {
            self.print(Print::Case(Arc::clone(&case)));
        }
        if self.store.is_some() {
            self.unstored.push_back(case);
            self.store();
        }
    }

    /// Stores what is not stored yet, in order.
    fn store(&mut self) {
        let Some(store) = &mut self.store else { return };
        while let Some(case) = self.unstored.front() {
            match store.put(case) {
                Ok(put) => put.notices.iter().for_each(|notice| complain(notice)),
                Err(error) if self.unstored.len() > UNSTORED => {
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

    fn print(&mut self, what: Print) {
        if self.unprinted > 0 && self.to_print.try_send(Print::Unprinted(self.unprinted)).is_ok() {
            self.unprinted = 0;
        }
        if let Err(TrySendError::Full(_)) = self.to_print.try_send(what) {
            self.unprinted += 1;
        }
    }
}

/// The second thread. Ends when there is nothing more to print, or nobody to read it.
fn print(mut printer: Printer, style: &Style, prints: &Receiver<Print>) -> anyhow::Result<()> {
    for what in prints {
        match what {
            // A person has read it already; a program is told what is new.
            Print::Case(case) if case.revision > 1 && style.format != Format::Json => {}
            Print::Case(case) => printer.case(&case)?,
            Print::Notice(notice) if notice.severity() >= style.min_severity => {
                printer.line(&format!("{}  {notice}", time_of(&notice)))?;
            }
            Print::Notice(_) => {}
            Print::Unprinted(count) => {
                complain(&format!("{count} messages were not printed: standard output was not read in time"));
            }
        }
    }
    Ok(())
}

/// Time of day here, to the millisecond; journald and `kubectl logs` add the date.
fn time_of(notice: &Notice) -> String {
    let wall = notice.at.wall.map(|at| at.to_zoned(TimeZone::system()).strftime("%H:%M:%S%.3f").to_string());
    wall.unwrap_or_else(|| "--:--:--.---".to_owned())
}
