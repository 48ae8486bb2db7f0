//! From inputs to cases: opens, scans, and lets each event become a case.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use oomscope_core::case::Case;
use oomscope_core::diagnosis::diagnose;
use oomscope_core::evidence::Gap;
use oomscope_core::formats::klog::{LogEvent, Scanner, Tally};
use oomscope_core::incident::Incident;
use oomscope_core::incident::history::History;
use oomscope_sources::log_file::{self, LogInput};
use oomscope_sources::{clock, kmsg};

use super::input::{self, Input};
use crate::cli::complain;
use crate::progress::Progress;

/// A live input that pauses this long has said what it had to say of a kill.
const IDLE: Duration = Duration::from_millis(200);

/// Cases remembered to recognise the same event in another file.
const MOST_IDS: usize = 1 << 16;

/// Where cases go; an error (the reader of our output went away) ends everything.
pub(super) type Sink<'a> = dyn FnMut(Case) -> anyhow::Result<()> + 'a;

/// Reads inputs one after the other.
#[derive(Default)]
pub(super) struct Pipeline {
    history: History,
    open: Option<OpenLog>,
    ids: HashSet<String>,
    duplicates: u64,
    files: u64,
    tally: Tally,
}

/// A log of one or, when it was rotated, several files.
struct OpenLog {
    scanner: Scanner,
    path: Option<PathBuf>,
    name: Option<String>,
    boot_id: Option<String>,
    /// What could not be read of this file, for the cases that still come from it.
    gap: Option<Gap>,
}

impl Pipeline {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Events left out because another file had them already.
    pub(super) const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// For "no OOM event found: …".
    pub(super) fn what_was_read(&self) -> String {
        let Tally { bytes, lines, kernel_records, .. } = self.tally;
        let files = if self.files == 1 { "1 log".to_owned() } else { format!("{} logs", self.files) };
        let size = oomscope_core::units::Bytes(bytes);
        let kernel = if kernel_records > 0 { "" } else { "; no line was recognised as the kernel's" };
        format!("{files} read, {lines} lines, {size}{kernel}")
    }

    /// Reads one input to its end.
    ///
    /// # Errors
    /// Where it cannot be opened, or breaks off; what was read before has gone to the sink by then.
    pub(super) fn read(&mut self, input: Input, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        match input {
            Input::Unusable(error) => Err(error.into()),
            Input::OwnKernel => self.read_own_kernel_log(sink),
            Input::File(path) => self.read_file(&path, sink),
        }
    }

    /// Ends the log that is open.
    pub(super) fn finish(&mut self, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let Some(mut log) = self.open.take() else { return Ok(()) };
        let mut events = Vec::new();
        log.scanner.finish(&mut |event| events.push(event));
        self.count(&log);
        self.emit(&log, events, sink)
    }

    fn read_own_kernel_log(&mut self, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        self.finish(sink)?;
        let mut reader = kmsg::KernelLog::open_oldest().context("reading this machine's kernel log")?;
        let boot_id = clock::boot_id(&oomscope_sources::HostRoot::default()).ok();
        self.files += 1;
        self.open = Some(OpenLog { scanner: Scanner::new(), path: None, name: None, boot_id, gap: None });
        let mut events = Vec::new();
        if let Some(log) = self.open.as_mut() {
            while let Some(record) = reader.next_record()? {
                log.scanner.push(&record, &mut |event| events.push(event));
            }
        }
        self.emit_from_open(events, sink)?;
        self.finish(sink)
    }

    fn read_file(&mut self, path: &Path, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let input = match log_file::open(path) {
            Ok(input) => input,
            Err(error) => {
                self.finish(sink)?;
                return Err(error.into());
            }
        };
        self.files += 1;
        let goes_on = self.open.as_ref().and_then(|log| log.path.as_deref()).is_some_and(|before| log_file::continues(before, path));
        if goes_on {
            let mut events = Vec::new();
            if let Some(log) = self.open.as_mut() {
                log.scanner.begin_next_file(&mut |event| events.push(event));
            }
            self.emit_from_open(events, sink)?;
            if let Some(log) = self.open.as_mut() {
                log.path = Some(path.to_owned());
                log.name = input.name().map(str::to_owned);
                log.gap = None;
            }
        } else {
            self.finish(sink)?;
            let name = input.name().map(str::to_owned);
            self.open = Some(OpenLog { scanner: Scanner::new(), path: Some(path.to_owned()), name, boot_id: None, gap: None });
        }
        let read = if input::is_live(path) { self.read_live(input, sink) } else { self.read_stored(input, path, sink) };
        self.say_what_was_cut();
        read
    }

    /// A file: read straight into the scanner's buffer.
    fn read_stored(&mut self, mut input: LogInput, path: &Path, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let size = std::fs::metadata(path).map_or(0, |m| m.len());
        let mut progress = Progress::new(input::display_name(&input), size);
        let mut events = Vec::new();
        loop {
            let Some(log) = self.open.as_mut() else { return Ok(()) };
            let read = input.read(log.scanner.spare());
            match read {
                Ok(0) => return Ok(()),
                Ok(count) => log.scanner.commit(count, &mut |event| events.push(event)),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return self.broke_off(error),
            }
            progress.at(input.file_offset());
            if !events.is_empty() {
                progress.pause();
                self.emit_from_open(std::mem::take(&mut events), sink)?;
            }
        }
    }

    /// A pipe: read by a thread of its own, so that a pause of the writer can be noticed and a case shown meanwhile.
    fn read_live(&mut self, mut input: LogInput, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let (send, receive) = sync_channel::<std::io::Result<Vec<u8>>>(4);
        std::thread::Builder::new().name("read-input".to_owned()).spawn(move || {
            loop {
                let mut chunk = vec![0; 64 << 10];
                let message = match input.read(&mut chunk) {
                    Ok(0) => return,
                    Ok(count) => {
                        chunk.truncate(count);
                        Ok(chunk)
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                    Err(error) => Err(error),
                };
                let last = message.is_err();
                if send.send(message).is_err() || last {
                    return;
                }
            }
        })?;
        let mut quiet_since = Instant::now();
        loop {
            let Some(log) = self.open.as_mut() else { return Ok(()) };
            let mut events = Vec::new();
            match receive.recv_timeout(IDLE) {
                Ok(Ok(chunk)) => {
                    quiet_since = Instant::now();
                    log.scanner.push(&chunk, &mut |event| events.push(event));
                }
                Ok(Err(error)) => return self.broke_off(error),
                Err(RecvTimeoutError::Timeout) => {
                    let waited = u64::try_from(quiet_since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    log.scanner.idle(waited, &mut |event| events.push(event));
                }
                Err(RecvTimeoutError::Disconnected) => return Ok(()),
            }
            self.emit_from_open(events, sink)?;
        }
    }

    /// The input broke off: the report that was open there says so.
    fn broke_off(&mut self, error: std::io::Error) -> anyhow::Result<()> {
        let error = anyhow::Error::new(error);
        if let Some(log) = self.open.as_mut() {
            let name = log.name.as_deref().unwrap_or("standard input");
            let after = log.scanner.line();
            log.gap = Some(Gap::new(format!("the rest of {name} from line {after} on"), format!("{error:#}")));
        }
        Err(error)
    }

    /// Lines that were too long to be read in one piece are no secret.
    fn say_what_was_cut(&self) {
        let Some(log) = &self.open else { return };
        let tally = log.scanner.tally();
        if let Some(first) = tally.first_line_in_pieces {
            let name = log.name.as_deref().unwrap_or("standard input");
            complain(&format!("{name}:{first}: line longer than 1 MiB, read in pieces ({} such lines)", tally.lines_in_pieces));
        }
    }

    fn count(&mut self, log: &OpenLog) {
        let tally = log.scanner.tally();
        self.tally.bytes += tally.bytes;
        self.tally.lines += tally.lines;
        self.tally.kernel_records += tally.kernel_records;
    }

    fn emit_from_open(&mut self, events: Vec<LogEvent>, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let Some(log) = self.open.take() else { return Ok(()) };
        let emitted = self.emit(&log, events, sink);
        self.open = Some(log);
        emitted
    }

    fn emit(&mut self, log: &OpenLog, events: Vec<LogEvent>, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        for mut event in events {
            event.boot_id = event.boot_id.or_else(|| log.boot_id.clone());
            let mut incident = Incident::from_log(event, log.name.as_deref());
            incident.gaps.extend(log.gap.clone());
            incident.recurrence = self.history.observe(&incident);
            let diagnosis = diagnose(&incident);
            let case = Case::new(incident, diagnosis);
            if self.is_known(&case) {
                self.duplicates += 1;
            } else {
                sink(case)?;
            }
        }
        Ok(())
    }

    /// The same kill in another file (`kern.log` and `messages`). Within one file ids repeat only where the log gives no
    /// times, and then they are line numbers.
    fn is_known(&mut self, case: &Case) -> bool {
        if case.incident.at.is_unknown() {
            return false;
        }
        if self.ids.len() >= MOST_IDS {
            self.ids.clear();
        }
        self.files > 1 && !self.ids.insert(case.id.clone())
    }
}
