// Calls three functions deep, hands out its own registers and the top of its stack on standard output, and waits to be killed.
use std::arch::asm;
use std::io::Write;
use std::os::fd::FromRawFd;

#[inline(never)]
fn capture() {
    let (ip, sp, bp): (u64, u64, u64);
    unsafe {
        asm!("lea {0}, [rip]", "mov {1}, rsp", "mov {2}, rbp", out(reg) ip, out(reg) sp, out(reg) bp);
    }
    let mut out = unsafe { std::fs::File::from_raw_fd(1) };
    for register in [ip, sp, bp] {
        out.write_all(&register.to_le_bytes()).unwrap();
    }
    // Ends short at the end of the stack.
    let _ = out.write(unsafe { std::slice::from_raw_parts(sp as *const u8, 1 << 16) });
    loop {
        std::thread::park();
    }
}

mod catalog {
    pub struct Catalog<T>(pub Vec<T>);

    impl<T: Clone + std::fmt::Debug> Catalog<T> {
        #[inline(never)]
        pub fn load(&mut self, item: T) -> usize {
            (0..std::hint::black_box(2)).map(|_| self.grow(item.clone())).sum()
        }

        #[inline(never)]
        fn grow(&mut self, item: T) -> usize {
            self.0.push(item);
            super::capture();
            self.0.len()
        }
    }
}

fn main() {
    let mut catalog = catalog::Catalog(Vec::new());
    std::process::exit(catalog.load(String::from("x")) as i32);
}
