//! /dev/kmsg and extended netconsole records: `prio,seq,usec,flags[,key=value…];text`.
//!
//! Layout: `Documentation/ABI/testing/dev-kmsg`, `info_print_ext_header` in `kernel/printk/printk.c`. Netconsole may put
//! the kernel release first and splits long records (`ncfrag=offset/length`, `Documentation/networking/netconsole.rst`).

use super::scan::{head, number};
use super::{bracket, escapes};
use crate::formats::klog::record::Record;
use crate::time::BootTime;

/// Where a part of a record that was too long for one packet belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fragment {
    pub(super) offset: u64,
    pub(super) total: u64,
}

/// A record's header, read.
pub(super) struct Header<'a> {
    record: Record,
    fragment: Option<Fragment>,
    /// The text, still escaped.
    body: &'a [u8],
}

impl<'a> Header<'a> {
    /// With less of the text.
    pub(super) fn map_body(self, trim: impl FnOnce(&'a [u8]) -> &'a [u8]) -> Self {
        Self { body: trim(self.body), ..self }
    }

    /// The record, without its text.
    pub(super) const fn record(&self) -> &Record {
        &self.record
    }
}

/// Reads a record's header; `None` if this is none.
pub(super) fn parse(line: &[u8]) -> Option<Header<'_>> {
    header(line).or_else(|| header(after_release(line)?))
}

fn header(line: &[u8]) -> Option<Header<'_>> {
    let (priority, rest) = number(line).filter(|(priority, _)| *priority < 4096)?;
    let (seq, rest) = number(rest.strip_prefix(b",")?)?;
    let (usec, rest) = number(rest.strip_prefix(b",")?)?;
    let rest = rest.strip_prefix(b",")?;
    let semicolon = memchr::memchr(b';', head(rest, 256))?;
    let (flags, body) = rest.split_at(semicolon);
    let mut record = Record {
        seq: Some(seq).filter(|seq| is_plausible_seq(*seq)),
        level: u8::try_from(priority & 7).ok(),
        // Facility 0 is the kernel's own; anything else was written to /dev/kmsg by a program.
        foreign: priority >> 3 != 0,
        framed: true,
        prefixed: true,
        ..Record::default()
    };
    record.when.boot_us = Some(BootTime(usec));
    let mut flags = flags.split(|b| *b == b',');
    let flag = flags.next()?;
    if flag.len() > 4 || flag.iter().any(u8::is_ascii_digit) {
        return None;
    }
    // `c` since 4.10; kernels before wrote `+` for all but the first piece.
    record.continuation = flag.contains(&b'c') || flag.contains(&b'+');
    let mut fragment = None;
    for extra in flags {
        if let Some(caller) = extra.strip_prefix(b"caller=") {
            record.caller = std::str::from_utf8(caller).ok().and_then(bracket::caller_id);
        } else if let Some(place) = extra.strip_prefix(b"ncfrag=") {
            fragment = parse_fragment(place);
        }
    }
    Some(Header { record, fragment, body: body.strip_prefix(b";")? })
}

/// printk counts its records from 0: a million a second would take nine years to get further than this.
pub(super) const fn is_plausible_seq(seq: u64) -> bool {
    seq <= 1 << 48
}

/// `6.1.0-13-amd64,6,416,…`: netconsole's option `r`.
fn after_release(line: &[u8]) -> Option<&[u8]> {
    let comma = memchr::memchr(b',', head(line, 64))?;
    let (release, rest) = line.split_at(comma);
    (release.contains(&b'.') && release.first()?.is_ascii_digit() && !release.contains(&b' ')).then_some(())?;
    rest.strip_prefix(b",")
}

fn parse_fragment(place: &[u8]) -> Option<Fragment> {
    let (offset, rest) = number(place)?;
    let (total, rest) = number(rest.strip_prefix(b"/")?)?;
    rest.is_empty().then_some(Fragment { offset, total })
}

/// ` SUBSYSTEM=memory`: the dictionary behind a record.
pub(super) fn is_attribute(line: &[u8]) -> bool {
    let Some(rest) = line.strip_prefix(b" ") else { return false };
    let name = rest.iter().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-')).count();
    name > 0 && rest.get(name) == Some(&b'=')
}

/// Puts netconsole's fragments together again.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    pending: Option<(Record, u64, Vec<u8>)>,
}

/// netconsole's records are at most 1 KiB, with what user space may add to them a few KiB.
const LONGEST_RECORD: usize = 64 * 1024;

impl Fragments {
    /// Takes a record; gives back what is complete.
    pub(super) fn push(&mut self, header: Header<'_>, lines: (u64, u64), emit: &mut dyn FnMut(Record)) {
        let Header { mut record, fragment, body } = header;
        record.lines = lines;
        let Some(fragment) = fragment else {
            self.flush(emit);
            record.text = escapes::kmsg(body);
            return emit(record);
        };
        let continues = self.pending.as_ref().is_some_and(|(pending, total, text)| {
            pending.seq == record.seq && *total == fragment.total && text.len() as u64 == fragment.offset
        });
        if !continues {
            self.flush(emit);
            record.framed = fragment.offset == 0;
            self.pending = Some((record, fragment.total, body.to_vec()));
        } else if let Some((pending, _, text)) = &mut self.pending {
            pending.lines.1 = lines.1;
            text.extend_from_slice(body);
        }
        let complete = self
            .pending
            .as_ref()
            .is_some_and(|(_, total, text)| text.len() as u64 >= *total || text.len() >= LONGEST_RECORD);
        if complete {
            self.flush(emit);
        }
    }

    /// Gives back an unfinished record.
    pub(super) fn flush(&mut self, emit: &mut dyn FnMut(Record)) {
        if let Some((mut record, total, text)) = self.pending.take() {
            record.framed &= text.len() as u64 == total;
            record.text = escapes::kmsg(&text);
            emit(record);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(lines: &[&str]) -> Vec<Record> {
        let mut out = Vec::new();
        let mut fragments = Fragments::default();
        for (line, number) in lines.iter().zip(1..) {
            let header = parse(line.as_bytes()).unwrap();
            fragments.push(header, (number, number), &mut |record| out.push(record));
        }
        fragments.flush(&mut |record| out.push(record));
        out
    }

    /// Every part of the header is kept, the text unescaped.
    #[test]
    fn header_fields() {
        let record = &records(&["4,880,2315034068,-,caller=T12;a\\x0ab"])[0];
        assert_eq!(record.text, b"a\nb");
        assert_eq!((record.seq, record.level, record.caller.as_deref()), (Some(880), Some(4), Some("T12")));
        assert_eq!(record.when.boot_us, Some(BootTime(2_315_034_068)));
        assert!(record.framed && record.prefixed && !record.foreign && !record.continuation);
    }

    /// What a program wrote to /dev/kmsg is told by its facility, a continuation by its flag.
    #[test]
    fn facility_and_flag() {
        assert!(records(&["12,1,2,-;systemd[1]: x"])[0].foreign);
        assert!(records(&["4,1,2,c;,task=x"])[0].continuation);
        assert!(parse(b"4,1,2;x").is_none());
        assert!(parse(b"1,2,3,4;x").is_none());
    }

    /// Fragments of one record are joined; a lost one leaves an unframed piece.
    #[test]
    fn netconsole_fragments() {
        let whole = records(&["6,416,17,-,ncfrag=0/6;abc", "6,416,17,-,ncfrag=3/6;def", "6,417,18,-;next"]);
        assert_eq!(whole.iter().map(|r| r.text.as_slice()).collect::<Vec<_>>(), [&b"abcdef"[..], b"next"]);
        assert!(whole[0].framed && whole[0].lines == (1, 2));
        let lost = records(&["6.1.0-1,6,416,17,-,ncfrag=3/6;def"]);
        assert!(!lost[0].framed);
    }
}
