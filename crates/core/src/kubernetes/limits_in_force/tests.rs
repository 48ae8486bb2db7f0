//! Specs against files.
