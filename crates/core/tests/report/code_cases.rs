//! Cases with stacks: of every kind of language, without names, and with hostile ones. What they mean is said by the rules themselves.

use oomscope_core::case::Case;
use oomscope_core::diagnosis::diagnose;
use oomscope_core::evidence::{
    ChainLevel, FoundBy, Frame, Gap, Hook, HotStack, HotStacks, KillContext, Language, NamedBy, Party, Stacks, Task,
    VictimMemory, VictimStack,
};
use oomscope_core::incident::Incident;
use oomscope_core::incident::kill_context::Surroundings;
use oomscope_core::text::Untrusted;
use oomscope_core::time::{BootTime, When};
use oomscope_core::units::Bytes;

use super::cases;

const MIB: u64 = 1 << 20;
const LIBC: &str = "/usr/lib/x86_64-linux-gnu/libc.so.6";

fn native(function: &str, module: &str, language: Language) -> Frame {
    Frame {
        function: Some(function.to_owned()),
        module: Some(module.into()),
        offset: Some(0x1000 + function.len() as u64 * 16),
        build_id: Some("8c3e5f1d2b7a49c06e8f1a2b3c4d5e6f70819203".to_owned()),
        address: Some(0x5555_5555_1000 + function.len() as u64 * 16),
        language: Some(language),
        found_by: FoundBy::UnwindTable,
        named_by: Some(NamedBy::Symbols),
        ..Frame::default()
    }
}

fn at(frame: Frame, file: &str, line: u32) -> Frame {
    Frame { file: Some(file.to_owned()), line: Some(line), named_by: Some(NamedBy::DebugInfo), ..frame }
}

fn inlined(frame: Frame) -> Frame {
    Frame { inlined: true, ..frame }
}

fn unknown(module: Option<&str>, offset: Option<u64>) -> Frame {
    Frame {
        module: module.map(Untrusted::from),
        offset,
        build_id: module.map(|_| "00ff".repeat(10)),
        address: Some(0x7f12_3456_7000),
        found_by: FoundBy::FramePointer,
        ..Frame::default()
    }
}

fn python(function: &str, file: &str, line: u32) -> Frame {
    Frame {
        function: Some(function.to_owned()),
        file: Some(file.to_owned()),
        line: Some(line),
        language: Some(Language::Python),
        found_by: FoundBy::Interpreter,
        named_by: Some(NamedBy::Interpreter),
        ..Frame::default()
    }
}

fn hot(stacks: &[(u64, &[Frame])]) -> HotStacks {
    let stack = |(mib, frames): &(u64, &[Frame])| HotStack {
        frames: frames.to_vec(),
        bytes: Bytes(mib * MIB),
        pid: Some(2295),
        comm: Some("node".into()),
    };
    HotStacks {
        from_us: BootTime(5_574_805),
        to_us: BootTime(185_574_805),
        sampled_bytes: Bytes(180 * MIB),
        stacks: stacks.iter().map(stack).collect(),
    }
}

/// The ordinary case, with these stacks added to what its log says.
fn with_stacks(stacks: Stacks, hot: Option<HotStacks>) -> Case {
    let mut incident = cases::container_limit().incident;
    incident.recurrence = None;
    incident.add_stacks(stacks);
    if let Some(hot) = hot {
        incident.add_hot_stacks(hot);
    }
    let diagnosis = diagnose(&incident);
    Case { revision: 2, ..Case::new(incident, diagnosis) }
}

fn user(user: Vec<Frame>) -> Stacks {
    Stacks { user, ..Stacks::default() }
}

/// C: the same function asked and took most.
pub(crate) fn c() -> Case {
    let app = |function| native(function, "/app/loader", Language::C);
    let libc = |function| native(function, LIBC, Language::C);
    let stack = vec![
        Frame { found_by: FoundBy::Registers, ..libc("__memset_avx2_unaligned_erms") },
        libc("_int_malloc"),
        libc("calloc"),
        at(app("parse_json"), "/build/src/loader.c", 42),
        at(app("load_catalog"), "/build/src/loader.c", 117),
        at(app("main"), "/build/src/main.c", 9),
        libc("__libc_start_call_main"),
        app("_start"),
    ];
    let other = vec![libc("malloc"), app("open_index"), app("main")];
    with_stacks(user(stack.clone()), Some(hot(&[(110, &stack), (20, &other)])))
}

/// Rust, with functions that the compiler put into their callers; another function took most.
pub(crate) fn rust() -> Case {
    let app = |function| native(function, "/usr/local/bin/api", Language::Rust);
    let stack = vec![
        native("__memmove_avx_unaligned_erms", LIBC, Language::C),
        inlined(at(
            app("<alloc::vec::Vec<T> as core::iter::Extend<T>>::extend"),
            "/rustc/1a2b/library/alloc/src/vec/mod.rs",
            3000,
        )),
        inlined(at(app("api::render::Row::push"), "src/render.rs", 88)),
        at(
            app(
                "<api::render::Table<api::model::Order, api::model::Customer, api::model::Price> as api::Page>::render",
            ),
            "src/render.rs",
            61,
        ),
        at(app("api::handle_request"), "src/main.rs", 204),
        at(app("std::rt::lang_start"), "/rustc/1a2b/library/std/src/rt.rs", 165),
    ];
    let cache = vec![
        app("alloc::raw_vec::finish_grow"),
        at(app("api::cache::put"), "src/cache.rs", 31),
        app("api::handle_request"),
    ];
    let mut stacks = user(stack);
    stacks.victims =
        vec![VictimStack { pid: 2271, tid: 2271, user: vec![native("read", LIBC, Language::C), app("api::wait")] }];
    with_stacks(stacks, Some(hot(&[(110, &cache), (6, &stacks_of_index(&app))])))
}

fn stacks_of_index(app: &dyn Fn(&'static str) -> Frame) -> Vec<Frame> {
    vec![app("api::index::build"), app("api::start")]
}

/// Python: the program's frames between those of the interpreter; nothing was sampled.
pub(crate) fn python_program() -> Case {
    let interpreter = |function| native(function, "/usr/bin/python3.11", Language::C);
    with_stacks(
        user(vec![
            native("__memset_evex_unaligned_erms", LIBC, Language::C),
            interpreter("bytes_repeat"),
            interpreter("_PyEval_EvalFrameDefault"),
            python("loads", "/usr/lib/python3.11/json/__init__.py", 346),
            python("parse_orders", "/srv/shop/orders.py", 42),
            python("nightly", "/srv/shop/jobs.py", 17),
            python("<module>", "/srv/shop/jobs.py", 30),
            interpreter("Py_BytesMain"),
        ]),
        None,
    )
}

/// A kill that no log tells of, and a stack without a single name.
pub(crate) fn unknown_frames() -> Case {
    let path_of = |id| match id {
        1 => Some(Untrusted::from("/")),
        20 => Some(Untrusted::from("/system.slice/batch.service")),
        21 => Some(Untrusted::from("/system.slice/batch.service/worker")),
        _ => None,
    };
    let party = |tid, pid, comm: &str| Party { tid, pid, comm: comm.into(), uid: 33, oom_score_adj: 0, cgroup_id: 21 };
    let level = |cgroup_id, usage: u64, limit: Option<u64>| ChainLevel {
        cgroup_id,
        usage_bytes: Bytes(usage * MIB),
        limit_bytes: limit.map(|mib| Bytes(mib * MIB)),
        failcnt: Some(12),
        ..ChainLevel::default()
    };
    let task = |pid, comm: &str, mib: u64| Task {
        pid,
        tgid: Some(pid),
        uid: Some(33),
        comm: comm.into(),
        rss_bytes: Some(Bytes(mib * MIB)),
        oom_score_adj: Some(0),
        ..Task::default()
    };
    let context = KillContext {
        at: BootTime(185_574_700),
        hook: Hook::OomKillProcess,
        trigger: party(703, 701, "pool-3"),
        victim: party(690, 690, "convert"),
        gfp_mask: Some(0xcc0),
        order: Some(0),
        global: Some(false),
        limit_cgroup_id: Some(20),
        chain: vec![level(21, 60, Some(128)), level(20, 64, Some(64)), level(1, 900, None)],
        victim_memory: VictimMemory {
            anon_bytes: Some(Bytes(40 * MIB)),
            file_bytes: Some(Bytes(3 * MIB)),
            ..VictimMemory::default()
        },
        tasks: vec![task(690, "convert", 43), task(701, "worker", 20)],
        tasks_complete: true,
    };
    let at = When { boot_us: Some(BootTime(185_574_805)), ..When::default() };
    let around = Surroundings { path_of: &path_of, cgroup_version: Some(2) };
    let gaps = vec![Gap::new("the report of this kill", "the kernel's log cannot be read")];
    let mut incident = Incident::from_context(at, Some("c0ffee00".to_owned()), context, around, gaps);
    incident.add_stacks(user(vec![
        unknown(Some("/usr/lib/x86_64-linux-gnu/libc.so.6"), Some(0x9_7a30)),
        unknown(Some("/opt/vendor/libconvert.so.3"), Some(0x1234)),
        unknown(Some("/opt/vendor/worker"), Some(0x8_0042)),
        unknown(None, None),
    ]));
    let diagnosis = diagnose(&incident);
    Case::new(incident, diagnosis)
}

/// Names that try to act on whatever shows them.
pub(crate) fn hostile() -> Case {
    let stack = vec![
        Frame {
            file: Some("/src/\u{1b}]0;owned\u{7}/a`b|\n# heading.c".to_owned()),
            line: Some(7),
            ..native("\u{1b}[2J`rm -rf`|@all\n# x", "/x\u{202e}gpj.so/`a`|b\u{1b}[31m", Language::C)
        },
        Frame { build_id: Some("\u{1b}[31m".to_owned()), ..unknown(Some("/lib/\u{1b}[1m`|\n.so"), Some(1)) },
        native(&"<a::b".repeat(4000), "/x", Language::Rust),
        native("\u{2066}日本語の関数", "/x", Language::C),
        native("f(int) ← `main`", "/x", Language::Cpp),
    ];
    let mut stacks = user(stack.clone());
    stacks.victims = vec![VictimStack { pid: 10, tid: 10, user: stack.clone() }];
    let mut incident = cases::hostile().incident;
    incident.add_stacks(stacks);
    incident.add_hot_stacks(hot(&[(50, &stack), (10, stack.split_at(1).1)]));
    let diagnosis = diagnose(&incident);
    Case::new(incident, diagnosis)
}

/// Every case with the name of its golden files.
pub(crate) fn all() -> Vec<(&'static str, Case)> {
    vec![
        ("stack_c", c()),
        ("stack_rust", rust()),
        ("stack_python", python_program()),
        ("stack_unknown", unknown_frames()),
        ("stack_hostile", hostile()),
    ]
}
