use std::io::Read;
use std::sync::mpsc::sync_channel;
fn main() {
    let path = std::env::args().last().unwrap();
    let mut f = std::fs::File::open(&path).unwrap();
    let mut s = oomscope_core::formats::klog::Scanner::new();
    let mut n = 0;
    let (tx, rx) = sync_channel::<(Vec<u8>, usize)>(4);
    let (btx, brx) = sync_channel::<Vec<u8>>(8);
    let k = std::env::var("K").ok().and_then(|k| k.parse().ok()).unwrap_or(256usize) << 10;
    for _ in 0..4 {
        btx.send(vec![0; k]).unwrap();
    }
    std::thread::spawn(move || {
        loop {
            let Ok(mut b) = brx.recv() else { return };
            let c = f.read(&mut b).unwrap();
            if c == 0 {
                return;
            }
            if tx.send((b, c)).is_err() {
                return;
            }
        }
    });
    while let Ok((b, c)) = rx.recv() {
        s.push(&b[..c], &mut |_| n += 1);
        let _ = btx.send(b);
    }
    s.finish(&mut |_| n += 1);
    println!("{n} {:?}", s.tally());
}
