//! What oomscope sees from within the kernel: eBPF programs in C, one [`wire`] format, and the loader.

mod skeleton {
    #![allow(warnings, clippy::all)]
    include!(concat!(env!("OUT_DIR"), "/kill.skel.rs"));
}
