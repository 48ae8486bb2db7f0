//! Symbol tables and debug information, read by blazesym on a thread of its own.
//!
//! The files are the watched programs' own, and parsers of debug information are large: one that panics or does not come to an end
//! must cost the names of one file, not the agent. (blazesym's objects also cannot move between threads.)

use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{CodeInfo, Input, Sym, Symbolized, Symbolizer};
use oomscope_core::evidence::Language;

use super::names::{demangled, written_in};
use super::slim::Slim;

/// The first look at a large program takes some 100 ms.
const PATIENCE: Duration = Duration::from_secs(10);
/// Threads that may be stuck before no more are tried.
const MAX_STUCK: usize = 4;

/// A function that an address belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// To show.
    pub(super) function: String,
    pub(super) language: Option<Language>,
    pub(super) file: Option<String>,
    pub(super) line: Option<u32>,
    /// Its code was put into the next one's.
    pub(super) inlined: bool,
    /// From debug information.
    pub(super) from_debug: bool,
}

/// The thread did not answer: it and every file that it had open are gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lost;

/// A way to the thread.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    worker: Option<Worker>,
    next: u64,
    stuck: usize,
}

/// A file that the thread has open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Id(u64);

#[derive(Debug)]
struct Worker {
    requests: Sender<Request>,
    answers: Receiver<Vec<Named>>,
}

#[derive(Debug)]
enum Request {
    Open(Id, Slim),
    Close(Id),
    Name(Id, u64),
}

impl Symbols {
    /// Takes a file over.
    pub(super) fn open(&mut self, slim: Slim) -> Result<Id, Lost> {
        self.next += 1;
        let id = Id(self.next);
        self.send(Request::Open(id, slim)).map(|()| id)
    }

    /// Lets go of it.
    pub(super) fn close(&mut self, id: Id) {
        if self.worker.is_some() {
            let _ = self.send(Request::Close(id));
        }
    }

    /// The functions at an address as linked, innermost first; none where no symbol covers it.
    pub(super) fn name(&mut self, id: Id, address: u64) -> Result<Vec<Named>, Lost> {
        self.send(Request::Name(id, address))?;
        let answer = self.worker.as_ref().map(|worker| worker.answers.recv_timeout(PATIENCE));
        match answer {
            Some(Ok(named)) => Ok(named),
            Some(Err(RecvTimeoutError::Timeout)) => {
                self.stuck += 1;
                self.worker = None;
                Err(Lost)
            }
            Some(Err(RecvTimeoutError::Disconnected)) | None => {
                self.worker = None;
                Err(Lost)
            }
        }
    }

    fn send(&mut self, request: Request) -> Result<(), Lost> {
        if self.worker.is_none() {
            self.worker = Some(self.start()?);
        }
        let sent = self.worker.as_ref().map(|worker| worker.requests.send(request));
        if sent.is_some_and(|sent| sent.is_ok()) {
            return Ok(());
        }
        self.worker = None;
        Err(Lost)
    }

    fn start(&self) -> Result<Worker, Lost> {
        if self.stuck >= MAX_STUCK {
            return Err(Lost);
        }
        let (requests, to_do) = channel();
        let (done, answers) = channel();
        let thread = std::thread::Builder::new().name("symbols".to_owned());
        thread.spawn(move || serve(&to_do, &done)).map_err(|_| Lost)?;
        Ok(Worker { requests, answers })
    }
}

/// Until nobody asks any more.
fn serve(requests: &Receiver<Request>, answers: &Sender<Vec<Named>>) {
    let mut files = HashMap::new();
    for request in requests {
        match request {
            Request::Open(id, slim) => {
                files.insert(id, (symboliser(), slim));
            }
            Request::Close(id) => {
                files.remove(&id);
            }
            Request::Name(id, address) => {
                let named = files.get(&id).map(|(symboliser, slim)| name(symboliser, slim, address));
                if answers.send(named.unwrap_or_default()).is_err() {
                    return;
                }
            }
        }
    }
}

/// One for each file, so that a file's memory goes with it. Separate debug information is looked for elsewhere, below the process's
/// own root.
fn symboliser() -> Symbolizer {
    let nowhere: [&Path; 0] = [];
    Symbolizer::builder().enable_auto_reload(false).enable_demangling(false).set_debug_dirs(Some(nowhere)).build()
}

fn name(symboliser: &Symbolizer, slim: &Slim, address: u64) -> Vec<Named> {
    // Where debug information is damaged the symbol table may still be whole.
    for debug_syms in [true, false] {
        let mut elf = Elf::new(slim.path());
        elf.debug_syms = debug_syms;
        match symboliser.symbolize_single(&Source::Elf(elf), Input::VirtOffset(address)) {
            Ok(Symbolized::Sym(symbol)) => return functions(&symbol),
            Ok(Symbolized::Unknown(_)) => return Vec::new(),
            Err(_) => {}
        }
    }
    Vec::new()
}

/// blazesym's are outermost first.
fn functions(symbol: &Sym<'_>) -> Vec<Named> {
    let from_debug = symbol.code_info.is_some() || !symbol.inlined.is_empty();
    let outer = Named { from_debug, ..named(&symbol.name, symbol.code_info.as_deref()) };
    let inlined = symbol.inlined.iter().rev().map(|function| Named {
        inlined: true,
        from_debug: true,
        ..named(&function.name, function.code_info.as_ref())
    });
    inlined.chain([outer]).collect()
}

fn named(name: &str, code: Option<&CodeInfo<'_>>) -> Named {
    let (function, language) = demangled(name);
    let file = code.map(|code| code.to_path().to_string_lossy().into_owned());
    Named {
        function,
        language: language.or_else(|| file.as_deref().and_then(written_in)),
        file,
        line: code.and_then(|code| code.line).filter(|line| *line > 0),
        inlined: false,
        from_debug: false,
    }
}
