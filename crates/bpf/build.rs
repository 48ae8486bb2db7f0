//! Compiles the eBPF programs, and generates from each the Rust types that it uses, among them those of `wire.h`.

use std::env;
use std::path::PathBuf;
use std::process::Command;

use libbpf_cargo::SkeletonBuilder;

/// Each a `programs/NAME.bpf.c`.
const PROGRAMS: [&str; 3] = ["kill", "faults", "python"];

/// Named so by distributions that keep several, newest first; `CLANG` in the environment comes before all of them.
const COMPILERS: [&str; 8] =
    ["clang", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16", "clang-14"];

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let clang = compiler();
    println!("cargo:rerun-if-changed=programs");
    println!("cargo:rerun-if-env-changed=CLANG");
    for name in PROGRAMS {
        let source = format!("programs/{name}.bpf.c");
        let built = SkeletonBuilder::new()
            .source(&source)
            .obj(out.join(format!("{name}.bpf.o")))
            .clang(&clang)
            .clang_args(["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-mcpu=v3"])
            .build_and_generate(out.join(format!("{name}.skel.rs")));
        if let Err(error) = built {
            panic!("compiling {source} with {clang}: {error:?}");
        }
    }
}

/// # Panics
/// Where there is none: without a compiler for eBPF this package cannot be built.
fn compiler() -> String {
    if let Ok(clang) = env::var("CLANG") {
        return clang;
    }
    let works = |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
    let found = COMPILERS.into_iter().find(works);
    found
        .expect("clang is needed to compile the eBPF programs (Debian, Ubuntu: apt-get install clang). Without it, build with `--no-default-features`")
        .to_owned()
}
