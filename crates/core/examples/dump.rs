fn main() {
    let path = std::env::args().last().unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut s = oomscope_core::formats::klog::Scanner::new();
    let mut ev = Vec::new();
    s.push(&bytes, &mut |e| ev.push(e));
    s.finish(&mut |e| ev.push(e));
    for e in ev {
        let i = oomscope_core::incident::Incident::from_log(e, Some(&path));
        let c = oomscope_core::case::Case::new(i.clone(), oomscope_core::diagnosis::diagnose(&i));
        println!("{}", serde_json::to_string(&c).unwrap());
    }
}
