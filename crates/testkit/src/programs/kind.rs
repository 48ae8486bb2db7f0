//! What there is to build.

/// A program and how it is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// What it is called on command lines and in tables.
    pub name: &'static str,
    /// Its source.
    pub language: Language,
    /// What the compiler is told, or the interpreter.
    pub flags: &'static [&'static str],
    /// For a table: what distinguishes it.
    pub about: &'static str,
}

/// A language, that is, a source and what turns it into something to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Language {
    /// `cc`.
    C,
    /// `c++`.
    Cpp,
    /// `rustc`.
    Rust,
    /// `go`.
    Go,
    /// `python3`: nothing is compiled.
    Python,
    /// `node`: nothing is compiled.
    Javascript,
    /// `javac` and `java`.
    Java,
}

/// Which function grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Function {
    /// `parse_json`.
    ParseJson,
    /// `build_index`.
    BuildIndex,
    /// `fill_cache`.
    FillCache,
}

impl Function {
    /// In the order in which they are called.
    pub const ALL: [Self; 3] = [Self::ParseJson, Self::BuildIndex, Self::FillCache];

    /// Its name, spelled as the language does.
    #[must_use]
    pub const fn name(self, language: Language) -> &'static str {
        match (self, language) {
            (Self::ParseJson, Language::Go) => "parseJSON",
            (Self::ParseJson, Language::Javascript | Language::Java) => "parseJson",
            (Self::ParseJson, _) => "parse_json",
            (Self::BuildIndex, Language::Go | Language::Javascript | Language::Java) => "buildIndex",
            (Self::BuildIndex, _) => "build_index",
            (Self::FillCache, Language::Go | Language::Javascript | Language::Java) => "fillCache",
            (Self::FillCache, _) => "fill_cache",
        }
    }
}

impl Language {
    /// The functions of the program, innermost first, of which `function` is the one that grows: the chain that a whole stack has.
    #[must_use]
    pub fn chain(self, function: Function) -> [&'static str; 3] {
        let (load, serve) = match self {
            Self::Go | Self::Javascript | Self::Java => ("loadCatalog", "serve"),
            Self::C | Self::Cpp | Self::Rust | Self::Python => ("load_catalog", "serve"),
        };
        [function.name(self), load, serve]
    }
}

const fn kind(name: &'static str, language: Language, flags: &'static [&'static str], about: &'static str) -> Kind {
    Kind { name, language, flags, about }
}

impl Kind {
    /// Every one.
    pub const ALL: [Self; 21] = [
        kind("c", Language::C, &["-O2", "-fomit-frame-pointer"], "without frame pointers"),
        kind("c-frame-pointers", Language::C, &["-O2", "-fno-omit-frame-pointer"], "with frame pointers"),
        kind(
            "c-stripped",
            Language::C,
            &["-O2", "-fomit-frame-pointer", "-rdynamic", "-s"],
            "stripped, with dynamic symbols",
        ),
        kind("c-lines", Language::C, &["-O2", "-fomit-frame-pointer", "-g"], "with debug information"),
        kind("c-static", Language::C, &["-O2", "-fomit-frame-pointer", "-static"], "statically linked"),
        kind(
            "c-static-pie",
            Language::C,
            &["-O2", "-fomit-frame-pointer", "-static-pie"],
            "statically linked, at any address",
        ),
        kind("c-no-pie", Language::C, &["-O2", "-fomit-frame-pointer", "-no-pie"], "at a fixed address"),
        kind("cpp", Language::Cpp, &["-O2", "-fomit-frame-pointer"], "without frame pointers"),
        kind("cpp-frame-pointers", Language::Cpp, &["-O2", "-fno-omit-frame-pointer"], "with frame pointers"),
        kind("rust", Language::Rust, &["-O"], "without frame pointers"),
        kind("rust-frame-pointers", Language::Rust, &["-O", "-Cforce-frame-pointers=yes"], "with frame pointers"),
        kind("rust-lines", Language::Rust, &["-O", "-Cdebuginfo=line-tables-only"], "with line tables"),
        kind(
            "rust-static",
            Language::Rust,
            &["-O", "-Ctarget-feature=+crt-static"],
            "statically linked, at any address",
        ),
        kind("go", Language::Go, &[], "as the toolchain builds it (with frame pointers)"),
        kind("go-stripped", Language::Go, &["-ldflags=-s -w"], "without symbols and debug information"),
        kind("python", Language::Python, &[], "interpreted"),
        kind("node", Language::Javascript, &[], "as it is"),
        kind(
            "node-perf-map",
            Language::Javascript,
            &["--perf-basic-prof", "--interpreted-frames-native-stack"],
            "`--perf-basic-prof --interpreted-frames-native-stack`",
        ),
        kind("java", Language::Java, &[], "as it is"),
        kind(
            "java-frame-pointers",
            Language::Java,
            &["-XX:+PreserveFramePointer", "-Xmn1g"],
            "`-XX:+PreserveFramePointer`, and no garbage collection before the kill (`-Xmn1g`)",
        ),
        kind(
            "java-perf-map",
            Language::Java,
            &["-XX:+PreserveFramePointer", "-Xmn1g", "-XX:TieredStopAtLevel=1"],
            "the same, the first compiler only (`-XX:TieredStopAtLevel=1`), and `jcmd PID Compiler.perfmap` before the kill",
        ),
    ];

    /// Stripped of everything: nothing but offsets can be known.
    pub const NAMELESS: Self =
        kind("c-nameless", Language::C, &["-O2", "-fomit-frame-pointer", "-s"], "stripped of all its own symbols");

    /// By its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().chain([Self::NAMELESS]).find(|kind| kind.name == name)
    }

    /// Whether a map of its compiled code is written on request, while it runs.
    pub(super) fn asks_for_perf_map(self) -> bool {
        self.name == "java-perf-map"
    }
}
