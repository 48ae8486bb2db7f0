//! From addresses to functions, files and lines.
//!
//! In this order: debug information and symbol table of the mapped file (or of the separate debug file that its build id leads to,
//! below the process's own root), Go's own table, for memory without a file the perf map that a runtime writes, and at last what kind
//! of code lies there. What has no name keeps module, offset and build id.

use std::io::Read as _;
use std::path::PathBuf;
use std::sync::Arc;

use oomscope_core::evidence::{Frame, Language, NamedBy};

use super::bounded::Bounded;
use super::elf::{Bytes, Elf};
use super::file::{Identity, Origin};
use super::go_table::GoTable;
use super::jit_names::{JitName, jit_name};
use super::perf_map::PerfMap;
use super::slim::Slim;
use super::symbols::{Id, Lost, Named, Symbols};
use super::{Address, Mapping, Space};

/// Files that are kept open.
const MAX_FILES: usize = 256;
/// Symbols and debug information that are kept, bytes.
const MAX_BYTES: usize = 96 << 20;
/// Perf maps that are kept.
const MAX_MAPS: usize = 16;
const MAX_MAP_BYTES: usize = 32 << 20;
/// Files with which the parser came to grief; they are not tried again.
const MAX_REFUSED: usize = 1024;
/// Of MiniDebugInfo, unpacked: libc's has 0.5 MB.
const MAX_MINI: u64 = 16 << 20;

/// Names addresses of any process. Keeps what it learnt of files that it met, up to a limit.
#[derive(Debug)]
pub struct Symboliser {
    modules: Bounded<Origin, Option<Module>>,
    maps: Bounded<Identity, PerfMap>,
    refused: Bounded<Origin, ()>,
    symbols: Symbols,
    max_bytes: usize,
}

/// A mapped file.
#[derive(Debug)]
struct Module {
    elf: Elf,
    go: Option<GoTable>,
    /// In the order in which they are asked.
    symbols: Vec<Id>,
}

impl Default for Symboliser {
    fn default() -> Self {
        Self::new()
    }
}

impl Symboliser {
    /// Knows no file yet.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limit(MAX_BYTES)
    }

    /// Keeps at most so many bytes of symbols and debug information; debug information of a file that alone has more than half of it
    /// is not used, so that its functions are named, but without lines.
    #[must_use]
    pub fn with_limit(max_bytes: usize) -> Self {
        Self {
            modules: Bounded::new(MAX_FILES, max_bytes),
            maps: Bounded::new(MAX_MAPS, MAX_MAP_BYTES),
            refused: Bounded::new(MAX_REFUSED, usize::MAX),
            symbols: Symbols::default(),
            max_bytes,
        }
    }

    /// Bytes that are held.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.modules.weight() + self.maps.weight()
    }

    /// The frames at each address, innermost first: more than one where the compiler put functions into one another. Meant for later,
    /// not for the moment of a kill: the first address in a large program takes some hundred milliseconds.
    pub fn frames(&mut self, space: &Space, addresses: &[Address]) -> Vec<Frame> {
        addresses.iter().flat_map(|address| self.frames_at(space, *address)).collect()
    }

    fn frames_at(&mut self, space: &Space, address: Address) -> Vec<Frame> {
        let mut frame = Frame { address: Some(address.address), found_by: address.found_by, ..Frame::default() };
        let Some(mapping) = space.mapping(address.address) else { return vec![frame] };
        let file = space.file(mapping);
        frame.module = file.map(|file| file.path.clone());
        // Memory with a name of its own (`[anon:v8]`) has no offset either.
        frame.offset = file.filter(|file| file.is_file()).map(|_| address.address - mapping.start + mapping.offset);
        let Some(origin) = space.origin(mapping) else {
            return vec![self.without_file(space, frame, address.address)];
        };
        self.learn(space, mapping, origin);
        let Some(module) = self.modules.get(&origin).and_then(Option::as_mut) else { return vec![frame] };
        frame.build_id = module.elf.build_id.clone();
        let Some(bias) = module.elf.bias(mapping) else { return vec![frame] };
        let linked = address.address.wrapping_sub(bias);
        let go = module.go_frame(&frame, linked);
        match first_answer(&mut self.symbols, &module.symbols, linked) {
            Ok(named) if !named.is_empty() => named_frames(&frame, named, go),
            Ok(_) => vec![go.unwrap_or(frame)],
            Err(Lost) => {
                self.refuse(origin);
                vec![go.unwrap_or(frame)]
            }
        }
    }

    /// The parser's thread is gone, and with it what it had open.
    fn refuse(&mut self, origin: Origin) {
        self.refused.insert(origin, (), 0);
        self.modules = Bounded::new(MAX_FILES, self.max_bytes);
    }

    fn learn(&mut self, space: &Space, mapping: &Mapping, origin: Origin) {
        if self.modules.contains(&origin) {
            return;
        }
        let opened = space.content(mapping, origin);
        let (module, weight) = opened.and_then(|(bytes, size)| self.read(space, origin, &bytes, size)).unzip();
        for gone in self.modules.insert(origin, module, weight.unwrap_or(0)) {
            let ids = gone.map(|module| module.symbols).unwrap_or_default();
            ids.into_iter().for_each(|id| self.symbols.close(id));
        }
    }

    fn read(&mut self, space: &Space, origin: Origin, bytes: &Bytes, size: u64) -> Option<(Module, usize)> {
        let mut elf = Elf::read(bytes)?;
        let go = GoTable::read(bytes, &elf);
        let mut weight = go.as_ref().map_or(0, GoTable::memory);
        let max_debug = u64::try_from(self.max_bytes / 2).unwrap_or(u64::MAX);
        let slims =
            if self.refused.contains(&origin) { Vec::new() } else { slims(space, bytes, size, &elf, max_debug) };
        weight += slims.iter().map(|slim| slim.memory).sum::<usize>();
        let symbols = slims.into_iter().filter_map(|slim| self.symbols.open(slim).ok()).collect();
        elf.sections = Vec::new();
        Some((Module { elf, go, symbols }, weight))
    }

    /// Memory that is no file's: of a compiler at run time, if anything.
    fn without_file(&mut self, space: &Space, frame: Frame, address: u64) -> Frame {
        let runtime = space.runtime();
        if let Some(entry) = self.perf_map(space).and_then(|map| map.name(address)) {
            let JitName { function, file, line, language } = jit_name(&entry, runtime);
            let named_by = Some(NamedBy::PerfMap);
            return Frame { function: Some(function), file, line, language, named_by, ..frame };
        }
        match runtime {
            Some(runtime) => Frame {
                function: Some(runtime.region().to_owned()),
                language: Some(runtime.language()),
                named_by: Some(NamedBy::Region),
                ..frame
            },
            None => frame,
        }
    }

    fn perf_map(&mut self, space: &Space) -> Option<&PerfMap> {
        let pid = space.namespace_pid().unwrap_or(space.pid());
        let file = space.open_path(&PathBuf::from(format!("/tmp/perf-{pid}.map")))?;
        // One that has grown is another.
        let key = Identity::of_file(&file)?;
        if !self.maps.contains(&key) {
            let map = PerfMap::read(file);
            let weight = map.memory();
            self.maps.insert(key, map, weight);
        }
        self.maps.get(&key).map(|map| &*map)
    }
}

impl Module {
    fn go_frame(&self, frame: &Frame, linked: u64) -> Option<Frame> {
        let table = self.go.as_ref()?;
        let function = table.function(linked)?;
        let (file, line) = table.line(&function, linked).unzip();
        Some(Frame {
            function: Some(table.name(&function)?),
            file,
            line,
            language: Some(Language::Go),
            named_by: Some(NamedBy::GoTable),
            ..frame.clone()
        })
    }
}

/// `go` is what Go's table says of the same address: then it is Go's, and knows the line also without debug information.
fn named_frames(frame: &Frame, named: Vec<Named>, go: Option<Frame>) -> Vec<Frame> {
    if let Some(go) = go.as_ref().filter(|_| named.iter().all(|named| !named.from_debug)) {
        return vec![go.clone()];
    }
    // Also where it is a generic one: the table has `load[...]`, as Go's own traces do, debug information an invented `load[go.shape.int]`.
    let name = |named: &Named| match &go {
        Some(go) if !named.inlined => go.function.clone(),
        _ => Some(named.function.clone()).filter(|function| !function.is_empty()),
    };
    let one = |named: Named| Frame {
        language: named.language.or(Some(if go.is_some() { Language::Go } else { Language::C })),
        function: name(&named),
        file: named.file,
        line: named.line,
        inlined: named.inlined,
        named_by: Some(if named.from_debug { NamedBy::DebugInfo } else { NamedBy::Symbols }),
        ..frame.clone()
    };
    named.into_iter().map(one).collect()
}

fn first_answer(symbols: &mut Symbols, ids: &[Id], linked: u64) -> Result<Vec<Named>, Lost> {
    for id in ids {
        let named = symbols.name(*id, linked)?;
        if !named.is_empty() {
            return Ok(named);
        }
    }
    Ok(Vec::new())
}

/// Where functions of a file are named: in itself, and where it was stripped in a file of its own, or in a smaller one within it.
fn slims(space: &Space, bytes: &Bytes, size: u64, elf: &Elf, max_debug: u64) -> Vec<Slim> {
    let own = Slim::copy(bytes, size, elf, max_debug);
    if own.as_ref().is_some_and(|own| own.has_symbols) {
        return own.into_iter().collect();
    }
    let more = separate_debug(space, elf, max_debug).or_else(|| mini_debug(bytes, elf));
    more.into_iter().chain(own).collect()
}

/// Fedora and its relatives leave names of functions in, packed (gdb's documentation, "MiniDebugInfo").
fn mini_debug(bytes: &Bytes, elf: &Elf) -> Option<Slim> {
    let packed = bytes.read(&elf.section(b".gnu_debugdata")?.range, MAX_MINI)?;
    let mut file = Vec::new();
    liblzma::read::XzDecoder::new(packed.as_slice()).take(MAX_MINI).read_to_end(&mut file).ok()?;
    let size = u64::try_from(file.len()).ok()?;
    let bytes = Bytes::Memory(file.into());
    Slim::copy(&bytes, size, &Elf::read(&bytes)?, MAX_MINI)
}

/// As distributions put it in packages of their own (gdb's documentation, "Separate Debug Files").
fn separate_debug(space: &Space, elf: &Elf, max_debug: u64) -> Option<Slim> {
    let (first, rest) = elf.build_id.as_ref()?.split_at_checked(2)?;
    let file = space.open_path(&PathBuf::from(format!("/usr/lib/debug/.build-id/{first}/{rest}.debug")))?;
    let size = file.metadata().ok()?.len();
    let bytes = Bytes::File(Arc::new(file));
    let debug = Elf::read(&bytes).filter(|debug| debug.build_id == elf.build_id)?;
    Slim::copy(&bytes, size, &debug, max_debug)
}
