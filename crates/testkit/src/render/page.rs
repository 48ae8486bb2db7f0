//! What mail programs, web pages and terminals do to lines.

use super::{PrintkRecord, carriers, console, dmesg_ctime};

fn map_lines(text: &[u8], change: impl Fn(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let lines = text.strip_suffix(b"\n").unwrap_or(text).split(|b| *b == b'\n');
    let mut out: Vec<u8> = lines.map(change).collect::<Vec<_>>().join(&b'\n');
    out.push(b'\n');
    out
}

pub(super) fn quoted_mail(records: &[PrintkRecord]) -> Vec<u8> {
    map_lines(&console(records), |line| [b"> ", line].concat())
}

pub(super) fn indented(records: &[PrintkRecord]) -> Vec<u8> {
    map_lines(&console(records), |line| [b"    ", line].concat())
}

pub(super) fn fence(records: &[PrintkRecord]) -> Vec<u8> {
    [b"This is what I see:\n```console\n", &console(records)[..], b"```\nAny idea?\n"].concat()
}

pub(super) fn crlf(records: &[PrintkRecord]) -> Vec<u8> {
    map_lines(&console(records), |line| [line, b"\r"].concat())
}

pub(super) fn html(records: &[PrintkRecord]) -> Vec<u8> {
    let text = String::from_utf8_lossy(&console(records)).into_owned();
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;");
    format!("<html><body><pre>\n{text}</pre></body></html>\n").into_bytes()
}

/// RFC 2045 §6.7.
pub(super) fn quoted_printable(records: &[PrintkRecord]) -> Vec<u8> {
    map_lines(&console(records), |line| {
        let mut out = Vec::new();
        let mut column = 0;
        for (index, byte) in line.iter().enumerate() {
            let last = index + 1 == line.len();
            let token = match byte {
                b' ' if !last => vec![b' '],
                b'!'..=b'<' | b'>'..=b'~' => vec![*byte],
                byte => format!("={byte:02X}").into_bytes(),
            };
            if column + token.len() > if last { 76 } else { 75 } {
                out.extend_from_slice(b"=\n");
                column = 0;
            }
            column += token.len();
            out.extend_from_slice(&token);
        }
        out
    })
}

/// Breaks at the last blank within `width`; a longer word stays whole.
fn filled(text: &[u8], width: usize) -> Vec<u8> {
    map_lines(text, |line| {
        let mut out = Vec::new();
        let mut rest = line;
        while rest.len() > width {
            let within = rest[..=width].iter().rposition(|b| *b == b' ').filter(|at| *at > 0);
            let beyond = || rest[width..].iter().position(|b| *b == b' ').map(|at| width + at);
            let Some(at) = within.or_else(beyond) else { break };
            out.extend_from_slice(rest[..at].trim_ascii_end());
            out.push(b'\n');
            rest = &rest[at + 1..];
        }
        out.extend_from_slice(rest);
        out
    })
}

pub(super) fn mail72(records: &[PrintkRecord]) -> Vec<u8> {
    filled(&console(records), 72)
}

pub(super) fn mail72_ctime(records: &[PrintkRecord]) -> Vec<u8> {
    filled(&dmesg_ctime(records), 72)
}

/// A terminal cuts anywhere.
fn cut(text: &[u8], width: usize) -> Vec<u8> {
    map_lines(text, |line| line.chunks(width).collect::<Vec<_>>().join(&b'\n'))
}

pub(super) fn terminal80(records: &[PrintkRecord]) -> Vec<u8> {
    cut(&console(records), 80)
}

pub(super) fn terminal120(records: &[PrintkRecord]) -> Vec<u8> {
    cut(&console(records), 120)
}

pub(super) fn terminal177(records: &[PrintkRecord]) -> Vec<u8> {
    cut(&carriers::rfc3164(records), 177)
}
