//! The runtime, recognised by name, and how to make it live within its limit.
//!
//! A program that sizes itself by the machine rather than by its limit is the most ordinary cause of all, and each runtime has its own
//! switch. A name is weak evidence: it is said as such, and no verdict rests on it. Go programs carry no mark, so only well-known ones
//! are in the table. The victim is looked at first; a JVM is also known by its threads, one of which is often the trigger.

use super::{Answer, Found, Rank, Rule};
use crate::diagnosis::Killer;
use crate::diagnosis::facts::{Facts, Impersonal};
use crate::diagnosis::words;
use crate::evidence::{Comm, Part};
use crate::units::Bytes;

pub(super) const RULE: Rule = Rule {
    name: "runtime",
    about: "The runtime or server behind the victim's name, with the setting that makes it fit its limit.",
    check,
};

/// One row.
///
/// `names` are as the kernel shows them, 15 bytes at most; a `*` stands for any bytes. `percent` is what the main pool may take of the limit.
/// In `patch`, `{mib}` is that pool in MiB, `{gib}` in GiB, and `{fit}` how many processes of the victim's size fit into it; a patch with one
/// of these is left out where the limit is not known.
struct Runtime {
    label: &'static str,
    names: &'static [&'static str],
    percent: u64,
    title: &'static str,
    detail: &'static str,
    patch: &'static str,
}

#[rustfmt::skip]
const RUNTIMES: &[Runtime] = &[
    Runtime { label: "a Java virtual machine", percent: 75,
        names: &["java", "jsvc", "G1 *", "G1-*", "GC Thread*", "C1 Compiler*", "C2 Compiler*", "VM Thread", "VM Periodic*", "ParGC*", "ZWorker*", "http-nio-*"],
        title: "Bound the Java heap below the limit",
        detail: "The heap is only a part: metaspace, thread stacks, code cache and direct buffers come on top, so leave a quarter for them. \
                 With -XX:+HeapDumpOnOutOfMemoryError a full heap then fails inside Java, with a dump, instead of here without one.",
        patch: "JAVA_TOOL_OPTIONS=\"-XX:MaxRAMPercentage=75.0 -XX:+HeapDumpOnOutOfMemoryError\"    # or -Xmx{mib}m" },
    Runtime { label: "Node.js", percent: 75, names: &["node", "nodejs", "npm*", "yarn", "next-server*", "libuv-worker"],
        title: "Bound the Node.js heap below the limit",
        detail: "Older releases size the heap by the machine. Buffers and native memory come on top of it.",
        patch: "NODE_OPTIONS=\"--max-old-space-size={mib}\"" },
    Runtime { label: "Prometheus", percent: 90, names: &["prometheus"],
        title: "Lower the number of series, or give it the memory",
        detail: "Memory follows the number of active series: see /tsdb-status for the metrics and labels that have most. GOMEMLIMIT only makes the collector work harder before the end.",
        patch: "GOMEMLIMIT={mib}MiB" },
    Runtime { label: "a Go program", percent: 90,
        names: &["kubelet", "containerd", "containerd-shim", "dockerd", "docker", "etcd", "kube-*", "coredns", "traefik", "caddy", "grafana*", "loki", "promtail",
            "mimir", "tempo", "vault", "consul", "nomad", "terraform", "argocd*", "cadvisor", "thanos", "minio", "telegraf", "influxd", "flanneld", "cilium-agent",
            "cilium-operato", "runc", "crio", "k3s*", "rke2", "node_exporter", "vmagent", "vmstorage", "vmselect", "vminsert", "victoria-metri*", "otelcol*",
            "jaeger*", "gitea", "helm", "flux", "velero", "nats-server", "cockroach", "ollama", "alertmanager"],
        title: "Tell the Go runtime its limit",
        detail: "With GOMEMLIMIT the collector runs more often as the limit comes near. It does not help against a leak.",
        patch: "GOMEMLIMIT={mib}MiB" },
    Runtime { label: "a Python server with workers", percent: 80, names: &["gunicorn*", "uvicorn*", "celery*", "uwsgi*", "[celeryd*", "hypercorn", "daphne"],
        title: "Run fewer workers, and renew them",
        detail: "Each worker has its own memory. Worker counts often follow the machine's CPUs; renewing workers returns what leaks and fragments.",
        patch: "--workers {fit} --max-requests 1000 --max-requests-jitter 100    # celery: --concurrency {fit} --max-memory-per-child <KiB>" },
    Runtime { label: "Python", percent: 80, names: &["python*", "pypy*", "ipython*", "jupyter*", "airflow*", "dask*", "ray::*", "raylet"],
        title: "Find what the Python program keeps",
        detail: "Python sets itself no limit. tracemalloc or memray shows which lines hold memory; read large inputs in pieces; MALLOC_ARENA_MAX=2 lowers \
                 the loss to fragmentation in threaded programs.",
        patch: "MALLOC_ARENA_MAX=2" },
    Runtime { label: "PostgreSQL", percent: 25, names: &["postgres", "postmaster"],
        title: "Size PostgreSQL for the limit",
        detail: "shared_buffers is shared, but work_mem counts per sort and per hash of every connection: connections × work_mem must fit into what is left.",
        patch: "shared_buffers = {mib}MB\nwork_mem = 4MB\nmax_connections = 50    # more clients: a pooler" },
    Runtime { label: "MySQL or MariaDB", percent: 50, names: &["mysqld", "mariadbd", "mysql"],
        title: "Size the buffer pool for the limit",
        detail: "Each connection adds its own buffers to the pool.",
        patch: "innodb_buffer_pool_size = {mib}M\nmax_connections = 100" },
    Runtime { label: "Redis or Valkey", percent: 70, names: &["redis-server", "valkey-server", "keydb-server", "redis-*"],
        title: "Set maxmemory below the limit",
        detail: "Without it Redis grows until it is killed. While it saves, pages that change are held twice: leave room for that.",
        patch: "maxmemory {mib}mb\nmaxmemory-policy allkeys-lru" },
    Runtime { label: "memcached", percent: 80, names: &["memcached"],
        title: "Set memcached's size below the limit", detail: "-m is for items only; connections and hash table come on top.", patch: "memcached -m {mib}" },
    Runtime { label: "MongoDB", percent: 40, names: &["mongod", "mongos"],
        title: "Size MongoDB's cache for the limit", detail: "Connections (1 MiB each), sorts and aggregations come on top of the cache.",
        patch: "--wiredTigerCacheSizeGB {gib}" },
    Runtime { label: "ClickHouse", percent: 80, names: &["clickhouse*"],
        title: "Set ClickHouse's own limit below this one", detail: "Queries then fail with an error instead of ending the server.",
        patch: "<max_server_memory_usage_to_ram_ratio>0.8</max_server_memory_usage_to_ram_ratio>" },
    Runtime { label: "nginx", percent: 80, names: &["nginx", "openresty"],
        title: "Set the number of nginx workers", detail: "worker_processes auto follows the machine's CPUs, not the container's; large proxy and body buffers count per connection.",
        patch: "worker_processes 2;" },
    Runtime { label: "PHP-FPM", percent: 80, names: &["php-fpm*", "php"],
        title: "Bound the number of PHP workers", detail: "Children × memory_limit must fit into the limit; pm.max_requests renews them.",
        patch: "pm.max_children = {fit}\npm.max_requests = 500" },
    Runtime { label: "Apache httpd", percent: 80, names: &["httpd", "apache2"],
        title: "Bound the number of Apache workers", detail: "With mod_php each worker has a whole interpreter.",
        patch: "MaxRequestWorkers {fit}\nMaxConnectionsPerChild 1000" },
    Runtime { label: "Ruby", percent: 80, names: &["ruby*", "puma*", "sidekiq*", "unicorn*", "rails*"],
        title: "Reduce Ruby's fragmentation, and its workers", detail: "Threads and glibc's arenas fragment the heap: jemalloc or fewer arenas often halve it.",
        patch: "MALLOC_ARENA_MAX=2    # or LD_PRELOAD=libjemalloc.so.2" },
    Runtime { label: "Erlang (RabbitMQ, Elixir)", percent: 40, names: &["beam.smp", "beam", "erl*", "rabbitmq*"],
        title: "Bound the broker's or the node's memory", detail: "RabbitMQ stops accepting at its high watermark, which it computes from the machine where it does not see the limit.",
        patch: "vm_memory_high_watermark.absolute = {mib}MiB" },
    Runtime { label: ".NET", percent: 75, names: &["dotnet", ".NET *"],
        title: "Bound the .NET heap", detail: "Server GC keeps a heap per CPU of the machine; a hard limit makes the collector respect the container.",
        patch: "DOTNET_GCHeapHardLimitPercent=0x4B" },
    Runtime { label: "a browser", percent: 75, names: &["chrome*", "chromium*", "headless_shell", "firefox*", "Web Content", "HeadlessChrome"],
        title: "Bound tabs and /dev/shm of the browser", detail: "Each tab is a process; files in /dev/shm are charged to the container and outlive a killed tab.",
        patch: "--disable-dev-shm-usage --js-flags=--max-old-space-size={mib}" },
    Runtime { label: "a virtual machine", percent: 100, names: &["qemu*", "kvm", "CPU */KVM", "firecracker", "cloud-hyperviso*"],
        title: "Leave room beside the guest's memory", detail: "The limit must hold the guest's memory and the emulator's own: video memory, device queues, page tables, cache of disk images.",
        patch: "" },
    Runtime { label: "ffmpeg", percent: 80, names: &["ffmpeg", "ffprobe"],
        title: "Use fewer threads and smaller buffers", detail: "Decoder and encoder hold frames per thread, and threads follow the machine's CPUs; long -filter_complex graphs queue frames.",
        patch: "-threads 2 -thread_queue_size 64" },
    Runtime { label: "a compiler or linker", percent: 80, names: &["cc1", "cc1plus", "clang*", "rustc", "ld", "ld.lld", "lld", "ld.gold", "mold", "make", "ninja", "cargo", "bazel*", "tsc", "go", "compile", "link"],
        title: "Build with fewer jobs", detail: "Parallel builds follow the machine's CPUs, and each job may need 1 GiB or more.",
        patch: "make -j{fit}    # ninja -j{fit}, cargo build -j {fit}" },
    Runtime { label: "a log forwarder", percent: 60, names: &["fluentd", "fluent-bit", "flb-*", "vector", "filebeat", "logstash"],
        title: "Bound the forwarder's buffers", detail: "When its target is slow, it buffers in memory.",
        patch: "Mem_Buf_Limit {mib}MB    # Fluent Bit; storage.type filesystem spills to disk" },
    Runtime { label: "a proxy", percent: 80, names: &["envoy", "haproxy", "squid", "varnishd"],
        title: "Bound the proxy's connections and buffers", detail: "Memory follows connections × buffer sizes, and slow clients hold both.", patch: "" },
];

fn check(facts: &Facts<'_>) -> Answer {
    let report = facts.report;
    let Some(victim) = facts.victim() else { return Answer::Absent };
    let own = victim.comm.as_ref().and_then(recognise);
    // A thread's name speaks for the process only where the thread is known to be the victim's.
    let by_thread = || {
        let trigger = report.trigger.as_ref()?;
        let same = super::another_process(facts, trigger, victim) == Some(false);
        trigger.comm.as_ref().filter(|_| same).and_then(recognise)
    };
    let Some(runtime) = own.or_else(by_thread) else { return Answer::Absent };
    let found = Found::that(
        format!("Probably {}", runtime.label),
        format!("The name of {} suggests {}; a name is no proof.", words::victim(victim), runtime.label),
        &[Part::Kill, Part::Chosen, Part::OomKill, Part::Header],
    );
    match facts.impersonal() {
        // Its heap is not what fills the limit.
        Some(Impersonal::Tmpfs(_) | Impersonal::Kernel(_)) => found,
        None if facts.is_sysrq() => found,
        None => {
            let (detail, patch) = setting(facts, runtime);
            found.advise(Rank::Fit, runtime.title, detail, patch)
        }
    }
    .into()
}

/// Which limit the setting is to be made for.
fn whose_limit(facts: &Facts<'_>) -> String {
    match (facts.verdict.killer, facts.limit()) {
        (Killer::ContainerLimit, Some(limit)) => format!("The limit is the container's, {limit}."),
        (Killer::CgroupLimit, Some(limit)) => {
            let owner = facts.limit_owner().unwrap_or_else(|| "the cgroup".to_owned());
            format!("The limit is that of {owner}, {limit}.")
        }
        (Killer::PodLimit | Killer::AncestorLimit, _) => {
            "Go by the limit of its own container, which is not in this report: the one reached stands above it."
                .to_owned()
        }
        (Killer::Node | Killer::Cpuset | Killer::MemoryPolicy, _) => {
            "Go by a limit of its own: none was reached here.".to_owned()
        }
        _ => "Go by the limit of its own container or service, which is not in this report.".to_owned(),
    }
}

fn recognise(comm: &Comm) -> Option<&'static Runtime> {
    RUNTIMES.iter().find(|row| row.names.iter().any(|pattern| matches(pattern, comm.as_bytes())))
}

/// A `*` stands for any bytes, once.
fn matches(pattern: &str, name: &[u8]) -> bool {
    match pattern.split_once('*') {
        Some((head, tail)) => {
            name.len() >= head.len() + tail.len()
                && name.starts_with(head.as_bytes())
                && name.ends_with(tail.as_bytes())
        }
        None => name == pattern.as_bytes(),
    }
}

/// The words, and the text to paste where the numbers for it are known.
///
/// Only the container's (or service's) own limit is a size to fit into: of a pod's or the machine's, the process is one part.
fn setting(facts: &Facts<'_>, runtime: &Runtime) -> (String, Option<String>) {
    let needs_limit = runtime.patch.contains('{') || runtime.title.contains("limit");
    let detail =
        if needs_limit { format!("{} {}", whose_limit(facts), runtime.detail) } else { runtime.detail.to_owned() };
    if !runtime.patch.contains('{') {
        return (detail, Some(runtime.patch.to_owned()).filter(|p| !p.is_empty()));
    }
    let own = matches!(facts.verdict.killer, Killer::ContainerLimit | Killer::CgroupLimit);
    let Some(limit) = facts.limit().filter(|_| own) else { return (detail, None) };
    let pool = Bytes(limit.0 / 100 * runtime.percent + limit.0 % 100 * runtime.percent / 100);
    let size = facts.victim().and_then(|v| facts.held_by(v)).filter(|b| b.0 > 0);
    let fit = size.map_or(0, |size| pool.0 / size.0);
    if runtime.patch.contains("{fit}") && fit < 2 {
        let alone = size.map_or_else(String::new, |size| {
            format!(" This one alone had {size} of {limit}: see what it was doing before changing how many there are.")
        });
        return (detail + &alone, None);
    }
    let patch = runtime
        .patch
        .replace("{mib}", &(pool.0 >> 20).max(1).to_string())
        .replace("{gib}", &format!("{:.2}", pool.0 as f64 / f64::from(1 << 30)))
        .replace("{fit}", &fit.to_string());
    (detail, Some(patch))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(comm: &str) -> Option<&'static str> {
        recognise(&comm.into()).map(|r| r.label)
    }

    /// Names as the kernel cuts them, threads of a JVM, and names that only look alike.
    #[test]
    fn names() {
        assert_eq!(label("java"), Some("a Java virtual machine"));
        assert_eq!(label("G1 Conc#0"), Some("a Java virtual machine"));
        assert_eq!(label("C2 CompilerThre"), Some("a Java virtual machine"));
        assert_eq!(label("CPU 3/KVM"), Some("a virtual machine"));
        assert_eq!(label("node"), Some("Node.js"));
        assert_eq!(label("node_exporter"), Some("a Go program"));
        assert_eq!(label("python3.11"), Some("Python"));
        assert_eq!(label("javac2"), None);
        assert_eq!(label(""), None);
    }

    /// Every row's text can be pasted: no placeholder is left over.
    #[test]
    fn placeholders_are_known() {
        for row in RUNTIMES {
            let rest = ["{mib}", "{gib}", "{fit}"].iter().fold(row.patch.to_owned(), |p, k| p.replace(k, ""));
            assert!(!rest.contains('{') && !row.detail.contains('{'), "{}", row.label);
            assert!((1..=100).contains(&row.percent), "{}", row.label);
        }
    }
}
