//! stub
use super::record::Record;
use crate::time::{BootTime, When};
/// stub
#[derive(Debug, Default)]
pub struct Unwrapper;
impl Unwrapper {
    /// stub
    pub fn new() -> Self { Self }
    /// stub
    pub fn flush(&mut self, _e: &mut dyn FnMut(Record)) {}
    /// stub
    pub fn push(&mut self, line: &[u8], number: u64, emit: &mut dyn FnMut(Record)) {
        let l = String::from_utf8_lossy(line).into_owned();
        let mut r = Record { lines: (number, number), ..Record::default() };
        if let Some(x) = l.find("] ").filter(|_| l.starts_with('[')).filter(|x| l[1..*x].contains('.')) {
            let t: f64 = l[1..x].trim().parse().unwrap_or(0.0);
            r.when = When { boot_us: Some(BootTime((t * 1e6).round() as u64)), ..When::default() };
            r.prefixed = true;
            r.text = line[x + 2..].to_vec();
        } else { r.text = line.to_vec(); }
        emit(r);
    }
}
