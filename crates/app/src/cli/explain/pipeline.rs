//! From inputs to cases: opens, scans, and lets each event become a case.

use std::fs::File;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use oomscope_core::case::Case;
use oomscope_core::evidence::Gap;
use oomscope_core::formats::klog::{LogEvent, Scanner, Tally};
use oomscope_sources::host_root::HostRoot;
use oomscope_sources::kmsg::KernelLog;
use oomscope_sources::log_file::{self, LogInput};

use super::chunks::{Chunks, Next};
use super::input::{self, Input};
use super::known::Known;
use super::skim::{self, Skim};
use crate::cases::{CaseMaker, LogOrigin, ThisBoot, diagnosed_again};
use crate::cli::saved::{self, Piece, Sieve, Unreadable};
use crate::cli::{complain, counted, in_words};
use crate::progress::Progress;

/// A live input that pauses this long has said what it had to say of a kill.
const IDLE: Duration = Duration::from_millis(200);

/// A pipe that brought nothing for this long may not be what the user thinks it is.
const SILENCE_MS: u64 = 3000;

/// Smaller files are read before a second thread has begun.
const WORTH_SKIMMING: u64 = 4 * skim::STRETCH;

/// Where cases go; an error (the reader of our output went away) ends everything.
pub(super) type Sink<'a> = dyn FnMut(Case) -> anyhow::Result<()> + 'a;

/// Reads inputs one after the other.
#[derive(Default)]
pub(super) struct Pipeline {
    maker: CaseMaker,
    open: Option<OpenLog>,
    known: Known,
    duplicates: u64,
    files: u64,
    tally: Tally,
    unreadable_cases: u64,
}

/// What was found in a log.
enum Found {
    Event(Box<LogEvent>),
    /// A case that was saved before, on this line.
    Saved(u64, Result<Box<Case>, Unreadable>),
}

/// A log of one or, when it was rotated, several files.
struct OpenLog {
    scanner: Scanner,
    sieve: Sieve,
    /// Which of the files that were read this is, from 1.
    number: u64,
    path: Option<PathBuf>,
    origin: LogOrigin,
}

impl OpenLog {
    fn push(&mut self, bytes: &[u8]) -> Vec<Found> {
        let (mut found, scanner) = (Vec::new(), &mut self.scanner);
        self.sieve.push(bytes, &mut |piece| take_piece(scanner, piece, &mut found));
        found
    }

    /// What is complete now that nothing comes for a while, the next file of the log begins, or it ends.
    fn flush(&mut self, flush: impl FnOnce(&mut Scanner, &mut dyn FnMut(LogEvent))) -> Vec<Found> {
        let mut found = Vec::new();
        flush(&mut self.scanner, &mut |event| found.push(Found::Event(Box::new(event))));
        found
    }

    /// The end of a file, whose last line may have no newline.
    fn end_line(&mut self) -> Vec<Found> {
        let (mut found, scanner) = (Vec::new(), &mut self.scanner);
        self.sieve.finish(&mut |piece| take_piece(scanner, piece, &mut found));
        found
    }
}

fn take_piece(scanner: &mut Scanner, piece: Piece<'_>, found: &mut Vec<Found>) {
    match piece {
        Piece::Log(bytes) => scanner.push(bytes, &mut |event| found.push(Found::Event(Box::new(event)))),
        Piece::Case(line) => {
            found.push(Found::Saved(scanner.line(), saved::parse(line).map(Box::new)));
            // In place of the line, so that the lines after it keep their numbers.
            scanner.push(b"\n", &mut |event| found.push(Found::Event(Box::new(event))));
        }
    }
}

impl Pipeline {
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Events left out because another file had them already.
    pub(super) const fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Saved cases that could not be read; each was complained of.
    pub(super) const fn unreadable_cases(&self) -> u64 {
        self.unreadable_cases
    }

    /// For "no OOM event found: …".
    pub(super) fn what_was_read(&self) -> String {
        let Tally { bytes, lines, kernel_records, .. } = self.tally;
        let files = counted(self.files, "log");
        if bytes == 0 {
            return format!("{files} read, and nothing in it");
        }
        let size = oomscope_core::units::Bytes(bytes);
        let kernel = if kernel_records > 0 { "" } else { "; no line was recognised as the kernel's" };
        format!("{files} read, {}, {size}{kernel}", counted(lines, "line"))
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
        let mut found = log.end_line();
        found.extend(log.flush(|scanner, each| scanner.finish(each)));
        self.count(&log);
        self.emit(&log, found, sink)
    }

    fn read_own_kernel_log(&mut self, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let log = KernelLog::open(&HostRoot::default())?;
        let input = LogInput::from_reader(None, log.into_reader())?;
        self.begin(None, LogOrigin { this_boot: Some(ThisBoot::ask()), ..LogOrigin::default() }, sink)?;
        self.scan(input, None, 0, sink).map(drop)
    }

    fn read_file(&mut self, path: &Path, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let input = match log_file::open(path) {
            Ok(input) => input,
            Err(error) => {
                self.finish(sink)?;
                return Err(error.into());
            }
        };
        let origin = LogOrigin { file: input.name().map(str::to_owned), ..LogOrigin::default() };
        self.begin(Some(path), origin, sink)?;
        let plain = input.plain_file();
        let metadata = plain.as_ref().map_or_else(|| std::fs::metadata(path), File::metadata);
        let size = metadata.map_or(0, |m| m.len());
        match plain {
            Some(file) if size >= WORTH_SKIMMING => self.scan_large(&input, Arc::new(file), size, sink),
            _ if input::is_live(path) => self.scan(input, Some(IDLE), 0, sink).map(drop),
            Some(file) => {
                let read = self.scan(input, None, size, sink)?;
                if has_shrunk(&file, size, read) { self.broke_off(shrunk(self.name())) } else { Ok(()) }
            }
            None => self.scan(input, None, size, sink).map(drop),
        }
    }

    /// Begins a log, or goes on with the one that is open where the file is its next piece.
    fn begin(&mut self, path: Option<&Path>, origin: LogOrigin, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        self.files += 1;
        let before = self.open.as_ref().and_then(|log| log.path.as_deref());
        let goes_on = before.zip(path).is_some_and(|(before, path)| log_file::continues(before, path));
        if !goes_on {
            self.finish(sink)?;
            self.open = Some(OpenLog {
                scanner: Scanner::new(),
                sieve: Sieve::default(),
                number: self.files,
                path: path.map(Path::to_owned),
                origin,
            });
            return Ok(());
        }
        let mut found = Vec::new();
        if let Some(log) = self.open.as_mut() {
            found = log.end_line();
            found.extend(log.flush(|scanner, each| scanner.begin_next_file(each)));
        }
        self.emit_from_open(found, sink)?;
        if let Some(log) = self.open.as_mut() {
            log.number = self.files;
            log.path = path.map(Path::to_owned);
            log.origin = origin;
        }
        Ok(())
    }

    /// Lets a thread read while this one scans, and notices when a live input pauses. Answers how much of the file was read.
    ///
    /// `patience` is how long a live input may be quiet before what is complete is shown; `size` is 0 where it is unknown.
    fn scan(
        &mut self,
        input: LogInput,
        patience: Option<Duration>,
        size: u64,
        sink: &mut Sink<'_>,
    ) -> anyhow::Result<u64> {
        let mut progress = Progress::new(input::display_name(&input), size);
        let mut read = 0;
        let mut chunks = Chunks::of(input)?;
        let mut quiet_since = Instant::now();
        let mut told = false;
        loop {
            let Some(log) = self.open.as_mut() else { return Ok(read) };
            let found;
            match chunks.next(patience) {
                Next::Chunk(chunk) => {
                    quiet_since = Instant::now();
                    found = log.push(&chunk.bytes);
                    read = chunk.file_offset;
                    progress.at(read);
                    chunks.give_back(chunk);
                }
                Next::Pause => {
                    let waited = u64::try_from(quiet_since.elapsed().as_millis()).unwrap_or(u64::MAX);
                    if log.scanner.tally().bytes == 0 && waited >= SILENCE_MS && !told {
                        complain(
                            "nothing came through the pipe yet; for this machine's own log: oomscope explain /dev/kmsg",
                        );
                        told = true;
                    }
                    found = log.flush(|scanner, each| scanner.idle(waited, each));
                }
                Next::Failed(error) => return self.broke_off(error).map(|()| read),
                Next::End => {
                    self.say_what_was_cut();
                    return Ok(read);
                }
            }
            if !found.is_empty() {
                progress.pause();
                self.emit_from_open(found, sink)?;
            }
        }
    }

    /// A large file: looked over by several threads, and read only where one of them found something.
    fn scan_large(&mut self, input: &LogInput, file: Arc<File>, size: u64, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let mut progress = Progress::new(input::display_name(input), size);
        let mut at = 0;
        for stretch in Skim::begin(&file, size)? {
            let nothing_in_it = stretch.look.filter(|look| !look.has_literal);
            match (self.open.as_mut(), nothing_in_it) {
                (Some(log), Some(look)) if log.scanner.is_skipping() && !log.sieve.is_holding() => {
                    log.sieve.passed(&stretch.tail);
                    log.scanner.pass(stretch.length, look.newlines, &stretch.tail);
                }
                _ => self.scan_part(&file, stretch.offset, Some(stretch.length), &mut progress, sink)?,
            }
            at = stretch.offset + stretch.length;
            progress.at(at);
        }
        // What was written meanwhile.
        self.scan_part(&file, at, None, &mut progress, sink)?;
        self.say_what_was_cut();
        Ok(())
    }

    /// Reads a part of a file, which must be there, or all the rest of it.
    fn scan_part(
        &mut self,
        file: &File,
        from: u64,
        length: Option<u64>,
        progress: &mut Progress,
        sink: &mut Sink<'_>,
    ) -> anyhow::Result<()> {
        let mut buffer = vec![0; skim::PIECE];
        let mut at = from;
        while length.is_none_or(|length| at < from + length) {
            let wanted = length.map_or(buffer.len() as u64, |length| from + length - at);
            let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(buffer.len());
            let count = match skim::read_full(file, at, &mut buffer[..wanted]) {
                Ok(0) if length.is_some() => return self.broke_off(shrunk(self.name())),
                Ok(0) => return Ok(()),
                Ok(count) => count,
                Err(error) => {
                    let error = IoError::new(error.kind(), format!("reading {}: {error}", self.name()));
                    return self.broke_off(error);
                }
            };
            at += count as u64;
            let found = self.open.as_mut().map(|log| log.push(&buffer[..count])).unwrap_or_default();
            if !found.is_empty() {
                progress.pause();
                self.emit_from_open(found, sink)?;
            }
        }
        Ok(())
    }

    /// The input broke off: the report that was open there says so.
    fn broke_off(&mut self, error: IoError) -> anyhow::Result<()> {
        let error = anyhow::Error::new(error);
        let name = self.name().to_owned();
        if let Some(log) = self.open.as_mut() {
            let after = log.scanner.line();
            log.origin.gap = Some(Gap::new(format!("the rest of {name} from line {after} on"), in_words(&error)));
        }
        Err(error)
    }

    /// Lines that were too long to be read in one piece are no secret.
    fn say_what_was_cut(&self) {
        let Some(log) = &self.open else { return };
        let tally = log.scanner.tally();
        if let Some(first) = tally.first_line_in_pieces {
            let name = self.name();
            complain(&format!(
                "{name}:{first}: line longer than 1 MiB, read in pieces ({} such lines)",
                tally.lines_in_pieces
            ));
        }
    }

    /// How a message calls the log that is open.
    fn name(&self) -> &str {
        self.open.as_ref().and_then(|log| log.origin.file.as_deref()).unwrap_or("standard input")
    }

    fn count(&mut self, log: &OpenLog) {
        let tally = log.scanner.tally();
        self.tally.bytes += tally.bytes;
        self.tally.lines += tally.lines;
        self.tally.kernel_records += tally.kernel_records;
    }

    fn emit_from_open(&mut self, found: Vec<Found>, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        let Some(log) = self.open.take() else { return Ok(()) };
        let emitted = self.emit(&log, found, sink);
        self.open = Some(log);
        emitted
    }

    fn emit(&mut self, log: &OpenLog, found: Vec<Found>, sink: &mut Sink<'_>) -> anyhow::Result<()> {
        for found in found {
            let case = match found {
                Found::Event(event) => self.maker.case(*event, &log.origin),
                Found::Saved(_, Ok(case)) => diagnosed_again(*case),
                Found::Saved(line, Err(why)) => {
                    complain(&format!("{}:{line}: {why}", log.origin.file.as_deref().unwrap_or("standard input")));
                    self.unreadable_cases += 1;
                    continue;
                }
            };
            if self.known.has(&case, log.number) {
                self.duplicates += 1;
            } else {
                sink(case)?;
            }
        }
        Ok(())
    }
}

/// A log that was emptied or cut while it was read (`copytruncate` of logrotate does that): what stood there is not known.
fn shrunk(name: &str) -> IoError {
    IoError::new(ErrorKind::UnexpectedEof, format!("reading {name}: the file shrank while it was read"))
}

/// True when a file of once `size` bytes ended after `read` of them, and is indeed shorter now. Files of sysfs end before
/// their size at all times.
fn has_shrunk(file: &File, size: u64, read: u64) -> bool {
    read < size && file.metadata().is_ok_and(|now| now.len() < size)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The beginning of a recorded report, a file that holds it, and what reading it as a file of `size` bytes came to.
    fn explain_shrunk(size: u64) -> (String, Vec<Case>) {
        let recorded = include_str!("../demo/recorded-6.12.log");
        let half = &recorded[..recorded.len() * 3 / 4];
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kern.log");
        std::fs::write(&path, half).unwrap();

        let (mut pipeline, mut cases) = (Pipeline::new(), Vec::new());
        let mut sink = |case| {
            cases.push(case);
            Ok(())
        };
        let input = log_file::open(&path).unwrap();
        let file = Arc::new(input.plain_file().unwrap());
        pipeline.begin(Some(&path), LogOrigin::default(), &mut sink).unwrap();
        let error = pipeline.scan_large(&input, file, size, &mut sink).unwrap_err().to_string();
        pipeline.finish(&mut sink).unwrap();
        (error, cases)
    }

    /// A file that ends before its end says so, and what stood in front of the cut is explained with a gap.
    #[test]
    fn a_large_file_that_shrinks() {
        for size in [1 << 20, WORTH_SKIMMING, 3 * WORTH_SKIMMING + 1] {
            let (error, cases) = explain_shrunk(size);
            assert_eq!(error, "reading standard input: the file shrank while it was read", "{size}");
            assert_eq!(cases.len(), 1, "{size}");
            assert!(
                cases[0].incident.gaps.iter().any(|gap| gap.why.contains("shrank")),
                "{:?}",
                cases[0].incident.gaps
            );
        }
    }

    /// A file that ends early has shrunk only if it is shorter now.
    #[test]
    fn a_small_file_that_shrinks() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(100).unwrap();
        assert!(has_shrunk(&file, 4096, 100));
        assert!(has_shrunk(&file, 4096, 0));
        assert!(!has_shrunk(&file, 100, 50), "as a file of sysfs");
        assert!(!has_shrunk(&file, 4096, 4096), "read before it shrank");
        assert!(!has_shrunk(&file, 0, 100), "as a file of proc");
    }
}
