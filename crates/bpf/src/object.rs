//! Loading an object file's programs, some of them, and attaching them.

use std::cell::RefCell;
use std::io;

use libbpf_rs::{Link, MapCore, MapHandle, Object, ObjectBuilder, PrintLevel};

use crate::{Failure, Reason};

/// What libbpf prints while it works, at most; the end matters.
const LOG_BYTES: usize = 1 << 16;

/// A compiled object file. libelf reads it where it lies, so it begins at a multiple of eight.
#[repr(align(8))]
pub(crate) struct Image<T: ?Sized>(pub(crate) T);

/// The object file of `programs/NAME.bpf.c`.
macro_rules! image {
    ($name:literal) => {{
        static IMAGE: &$crate::object::Image<[u8]> =
            &$crate::object::Image(*include_bytes!(concat!(env!("OUT_DIR"), "/", $name, ".bpf.o")));
        &IMAGE.0
    }};
}
pub(crate) use image;

/// Programs of one object, running until this is dropped.
///
/// The links alone keep programs and maps alive in the kernel; libbpf's copy of the object, a megabyte, is given back at once.
pub(crate) struct Loaded {
    maps: Vec<(String, MapHandle)>,
    pub(crate) links: Vec<Link>,
}

impl Loaded {
    /// Loads and attaches `programs` of `image`, after `prepare` has set the constants in `.rodata`.
    ///
    /// # Errors
    /// The first that does not work; nothing stays behind then.
    pub(crate) fn new(
        image: &'static [u8],
        programs: &[&str],
        prepare: &dyn Fn(&mut [u8]),
        attach: &dyn Fn(&libbpf_rs::ProgramMut<'_>) -> libbpf_rs::Result<Vec<Link>>,
    ) -> Result<Self, Failure> {
        let failed = |error: &libbpf_rs::Error, log: &str| Failure {
            tried: format!("eBPF program {}", programs.join(", ")),
            reason: Reason::of(&os_error(error), log),
        };
        let (object, log) = listening(|| load(image, programs, prepare));
        let object = object.map_err(|e| failed(&e, &log))?;
        let mut links = Vec::new();
        for program in object.progs_mut() {
            if programs.iter().any(|name| program.name() == *name) {
                let (attached, log) = listening(|| attach(&program));
                links.extend(attached.map_err(|e| failed(&e, &log))?);
            }
        }
        let maps = handles(&object).map_err(|e| failed(&e, ""))?;
        Ok(Self { maps, links })
    }

    /// The map whose name ends so: libbpf puts the object's name before `.bss`.
    ///
    /// # Errors
    /// There is none: the program and this package do not fit together.
    pub(crate) fn map(&mut self, name: &str) -> Result<MapHandle, Failure> {
        let at = self.maps.iter().position(|(its, _)| its.ends_with(name));
        at.map(|at| self.maps.swap_remove(at).1).ok_or_else(|| Failure {
            tried: format!("eBPF map {name}"),
            reason: Reason::Other("the object file has none".to_owned()),
        })
    }
}

fn load(image: &'static [u8], programs: &[&str], prepare: &dyn Fn(&mut [u8])) -> libbpf_rs::Result<Object> {
    let mut open = ObjectBuilder::default().name("oomscope")?.open_memory(image)?;
    for mut program in open.progs_mut() {
        let wanted = programs.iter().any(|name| program.name() == *name);
        program.set_autoload(wanted);
    }
    for mut map in open.maps_mut() {
        if map.name().as_encoded_bytes().ends_with(b".rodata")
            && let Some(constants) = map.initial_value_mut()
        {
            prepare(constants);
        }
    }
    open.load()
}

fn handles(object: &Object) -> libbpf_rs::Result<Vec<(String, MapHandle)>> {
    let named = |map: libbpf_rs::Map<'_>| Ok((map.name().to_string_lossy().into_owned(), MapHandle::try_from(&map)?));
    object.maps().map(named).collect()
}

/// libbpf-rs gives out the number of an error only in its text, `… (os error 1)`.
fn os_error(error: &libbpf_rs::Error) -> io::Error {
    let text = format!("{error:#}");
    let number = text.rsplit_once("(os error ").and_then(|(_, rest)| rest.split_once(')')?.0.parse().ok());
    number.map_or_else(|| io::Error::other(text), io::Error::from_raw_os_error)
}

thread_local! {
    static SAID: RefCell<String> = const { RefCell::new(String::new()) };
}

fn hear(level: PrintLevel, text: String) {
    if level == PrintLevel::Warn {
        SAID.with_borrow_mut(|said| {
            said.push_str(&text);
            if said.len() > LOG_BYTES {
                let mut from = said.len() - LOG_BYTES / 2;
                while !said.is_char_boundary(from) {
                    from += 1;
                }
                said.drain(..from);
            }
        });
    }
}

/// What `work` gives, and what libbpf printed on the way: on its own it would write to standard error.
pub(crate) fn listening<T>(work: impl FnOnce() -> T) -> (T, String) {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        libbpf_rs::set_print(Some((PrintLevel::Warn, hear)));
    });
    SAID.with_borrow_mut(String::clear);
    let done = work();
    (done, SAID.with_borrow_mut(std::mem::take))
}
