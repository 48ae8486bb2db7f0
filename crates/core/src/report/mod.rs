//! How a case is shown.
