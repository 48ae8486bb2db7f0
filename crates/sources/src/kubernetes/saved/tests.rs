use super::*;

/// The values with their lines, and what could not be read.
fn read(text: &str) -> (Vec<(u64, String)>, Vec<u64>) {
    let mut found = Vec::new();
    let unreadable = values(text.as_bytes(), &mut |value, line| {
        found.push((line, value["kind"].as_str().unwrap_or("?").to_owned()));
    });
    (found, unreadable.iter().map(|part| part.line).collect())
}

fn kinds(found: &[(u64, &str)]) -> Vec<(u64, String)> {
    found.iter().map(|(line, kind)| (*line, (*kind).to_owned())).collect()
}

/// One value over several lines, several values, lines of a recorded watch; and behind damage the next one.
#[test]
fn json_in_every_shape() {
    assert_eq!(read("\n{\n \"kind\": \"Pod\"\n}\n"), (kinds(&[(2, "Pod")]), vec![]));
    assert_eq!(read("{\"kind\":\"A\"}\n{\"kind\":\"B\"}\n"), (kinds(&[(1, "A"), (2, "B")]), vec![]));
    let damaged = "{\"kind\":\"A\"}\n{\"kind\":\"B\n{\"kind\":\"C\"}\n{\"kind\":\"cut";
    assert_eq!(read(damaged), (kinds(&[(1, "A"), (3, "C")]), vec![2, 4]));
}

/// Documents of YAML, empty ones and comments passed over; a broken one costs only itself and names its line.
#[test]
fn yaml_documents_one_by_one() {
    let text = "# Source: chart/templates/a.yaml\nkind: A\n---\n---\n# only a comment\n---\nkind: B\nlist:\n- x: [1\n---\nkind: C\n";
    let (found, unreadable) = read(text);
    assert_eq!(found, kinds(&[(2, "A"), (11, "C")]));
    assert!(matches!(unreadable.as_slice(), [9 | 10]), "{unreadable:?}");
    assert_eq!(read("--- {kind: A}\n"), (kinds(&[(1, "A")]), vec![]));
    assert_eq!(read(""), (vec![], vec![]));
}

/// A few anchors that double each other do not fill the memory.
#[test]
fn a_yaml_bomb() {
    let mut text = "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n".to_owned();
    for n in 1..12 {
        let list = vec![format!("*a{}", n - 1); 10].join(",");
        text.push_str(&format!("a{n}: &a{n} [{list}]\n"));
    }
    let (found, unreadable) = read(&text);
    assert_eq!((found.len(), unreadable.len()), (0, 1));
}

/// A folder: objects and the kubelet's configuration of all files in it, others passed over in silence, what is broken said with its line.
#[test]
fn folders() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    write("a.json", r#"{"kind":"Pod","metadata":{"name":"a","namespace":"x","uid":"1"}}"#);
    write(
        "deep/b.yaml",
        "kind: Pod\nmetadata: {name: b, namespace: x, uid: \"2\"}\nspec:\n  containers:\n  - name: c\n    resources: {limits: {memory: 123Mi, cpu: 1}}\n",
    );
    write("deep/configz.json", r#"{"kubeletconfig":{"evictionHard":{"memory.available":"5%"}}}"#);
    write("stats.json", r#"{"node":{}}"#);
    write("notes.txt", "{");
    write("broken.json", "{\"kind\":\"Pod\",\n\"spec\": 7}");
    let mut directory = Directory::default();
    let gaps = read_saved(folder.path(), &mut directory);
    let names: Vec<_> = directory.pods().map(|(_, record)| record.pod.metadata.full_name()).collect();
    assert_eq!(names, ["x/a", "x/b"]);
    let limit = directory.pod("2").unwrap().pod.memory_limit();
    assert_eq!(limit.map(|limit| limit.0), Some(128_974_848));
    assert!(directory.kubelet.is_some_and(|config| config.memory_thresholds().hard.is_some()));
    assert_eq!(gaps.len(), 1, "{gaps:?}");
    assert!(gaps[0].wanted.ends_with("broken.json") && gaps[0].why.starts_with("line 1: a Pod"), "{gaps:?}");
}

/// A file that was named is expected to hold something.
#[test]
fn a_file_without_objects() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.json");
    std::fs::write(&path, r#"{"node":{}}"#).unwrap();
    let why = |path: &Path| read_saved(path, &mut Directory::default()).remove(0).why;
    assert!(why(&path).contains("no kind"));
    assert!(why(&folder.path().join("absent")).contains("No such file"));
}

/// Nesting without end ends in a refusal, not in the end of the program.
#[test]
fn endless_nesting() {
    let deep = "[".repeat(20_000);
    let mut values = 0;
    assert!(!super::values(deep.as_bytes(), &mut |_, _| values += 1).is_empty());
    let deep = (0..20_000).map(|depth| format!("{}a:\n", " ".repeat(depth.min(400)))).collect::<String>();
    let _ = super::values(deep.as_bytes(), &mut |_, _| values += 1);
}
