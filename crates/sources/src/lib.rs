//! Where evidence comes from: the platform and its privileges live here only.

pub mod log_file;
