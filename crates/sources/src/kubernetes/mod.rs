//! Who is who on a node, from those who know it.

pub mod saved;
