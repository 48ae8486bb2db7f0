//! The flight recorder as a whole: it stays within its budget whatever comes, and does not lose a peak.

use oomscope_core::evidence::Process;
use oomscope_core::recorder::{Budget, CgroupKey, Recorder, Sample, Series};
use oomscope_core::time::BootTime;
use oomscope_core::units::Bytes;
use proptest::prelude::*;

#[derive(Clone, Debug)]
enum Step {
    Sample { key: u64, wait_us: u64, fine: bool, values: Vec<Option<u64>> },
    Processes { key: u64, sizes: Vec<u64> },
    Forget { key: u64 },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let value = prop_oneof![2 => Just(None), 3 => (0..1_u64 << 36).prop_map(Some), 1 => any::<u64>().prop_map(Some)];
    let sample = (0..6_u64, 0..3_000_000_u64, any::<bool>(), proptest::collection::vec(value, Series::COUNT))
        .prop_map(|(key, wait_us, fine, values)| Step::Sample { key, wait_us, fine, values });
    let processes = (0..6_u64, proptest::collection::vec(0..1_u64 << 40, 0..20))
        .prop_map(|(key, sizes)| Step::Processes { key, sizes });
    let forget = (0..6_u64).prop_map(|key| Step::Forget { key });
    proptest::collection::vec(prop_oneof![20 => sample, 4 => processes, 1 => forget], 0..300)
}

fn take(recorder: &mut Recorder, now: &mut u64, step: &Step) {
    match step {
        Step::Sample { key, wait_us, fine, values } => {
            *now += wait_us;
            let mut sample = Sample::new(BootTime(*now));
            for (series, value) in Series::ALL.into_iter().zip(values) {
                sample.set(series, *value);
            }
            recorder.push(CgroupKey(*key), &sample, *fine);
        }
        Step::Processes { key, sizes } => {
            let process = |(pid, size): (u32, &u64)| Process {
                pid,
                comm: "x".into(),
                anon_bytes: Some(Bytes(*size)),
                file_bytes: Some(Bytes(0)),
                ..Process::default()
            };
            let processes: Vec<_> = (1..).zip(sizes).map(process).collect();
            recorder.push_processes(CgroupKey(*key), BootTime(*now), &processes);
        }
        Step::Forget { key } => recorder.forget(CgroupKey(*key), BootTime(*now)),
    }
}

proptest! {
    /// No sequence of readings makes it larger than it may be, nor hand out more rows than were asked for, nor out of order.
    #[test]
    fn the_budget_holds(steps in steps(), total in 4_000..200_000_usize) {
        let budget = Budget { total_bytes: total, ..Budget::default() };
        let (mut recorder, mut now) = (Recorder::new(budget), 0);
        for step in &steps {
            take(&mut recorder, &mut now, step);
            let statistics = recorder.statistics();
            // With less than one cgroup needs nothing can be recorded; it keeps the one that is being written.
            prop_assert!(statistics.memory_bytes <= total || statistics.cgroups == 1, "{statistics:?} of {total}");
        }
        for key in 0..6 {
            let rows = recorder.rows(CgroupKey(key), BootTime(0), BootTime(u64::MAX), 50);
            prop_assert!(rows.len() <= 50);
            prop_assert!(rows.at_us.windows(2).all(|pair| pair[0] < pair[1]));
        }
    }

    /// Each cgroup's share holds too, over hours at the finest interval, and the highest peak of the kept time is in the rows, thinned or not.
    #[test]
    fn no_peak_is_lost(peaks in proptest::collection::vec(1..1_000_000_u64, 1..2_000), fine in any::<bool>(), step_us in 10_000..400_000_u64, rows in 4..200_usize) {
        let budget = Budget::default();
        let mut recorder = Recorder::new(budget);
        let key = CgroupKey(1);
        for (n, peak) in (0..).zip(&peaks) {
            let sample = Sample::new(BootTime(n * step_us)).with(Series::Current, 4096).with(Series::Peak, (peak + 1) * 4096);
            recorder.push(key, &sample, fine);
            prop_assert!(recorder.memory() <= budget.per_cgroup_bytes + 1024);
        }
        let seen = recorder.rows(key, BootTime(0), BootTime(u64::MAX), rows);
        let highest = seen.series(Series::Peak).map(|(_, bytes)| bytes).max();
        prop_assert_eq!(highest, peaks.iter().max().map(|peak| (peak + 1) * 4096));
    }
}

/// Fifteen minutes of a busy container that leaks take at most two bytes a value, and all of them are there.
#[test]
fn bytes_a_value() {
    let mut recorder = Recorder::new(Budget::default());
    let mut random = 1_u64;
    let mut noise = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % below
    };
    let mut stalled = 0;
    for second in 0..900_u64 {
        let anon = (100 << 20) + second * (40 << 10) + noise(2 << 20);
        let file = (30 << 20) + noise(1 << 20);
        let slab = (3 << 20) + noise(64 << 10);
        stalled += noise(3_000);
        let sample = Sample::new(BootTime(second * 1_000_000 + noise(900)))
            .with(Series::Current, anon + file + slab)
            .with(Series::Peak, anon + file + slab + noise(1 << 20))
            .with(Series::Anon, anon)
            .with(Series::File, file)
            .with(Series::Shmem, 0)
            .with(Series::SlabReclaimable, slab / 2)
            .with(Series::SlabUnreclaimable, slab / 2)
            .with(Series::Kernel, slab + (1 << 20))
            .with(Series::Sock, 0)
            .with(Series::Swap, 0)
            .with(Series::High, 0)
            .with(Series::Max, second / 100)
            .with(Series::Oom, 0)
            .with(Series::OomKill, 0)
            .with(Series::PressureSome, stalled)
            .with(Series::PressureFull, stalled / 2)
            .with(Series::Processes, 3);
        recorder.push(CgroupKey(7), &sample, false);
    }
    let statistics = recorder.statistics();
    let a_value = statistics.written_bytes as f64 / statistics.values as f64;
    assert!(a_value <= 2.0, "{a_value} bytes a value");
    let rows = recorder.rows(CgroupKey(7), BootTime(0), BootTime(u64::MAX), 10_000);
    assert_eq!(rows.len(), 900);
}

/// What was removed is kept for a while and then given up.
#[test]
fn the_removed_are_forgotten() {
    let mut recorder = Recorder::new(Budget { keep_us: 10_000_000, ..Budget::default() });
    let sample = |second: u64| Sample::new(BootTime(second * 1_000_000)).with(Series::Current, 1 << 20);
    recorder.push(CgroupKey(1), &sample(0), false);
    recorder.forget(CgroupKey(1), BootTime(1_000_000));
    assert_eq!(recorder.latest(CgroupKey(1)).and_then(|s| s.get(Series::Current)), Some(1 << 20));
    recorder.push(CgroupKey(2), &sample(12), false);
    recorder.forget(CgroupKey(2), BootTime(12_000_000));
    assert_eq!((recorder.latest(CgroupKey(1)), recorder.statistics().cgroups), (None, 1));
}

/// One that came back after it was removed is not given up when its removal is long ago, one that was removed again is.
#[test]
fn the_returned_are_kept() {
    let mut recorder = Recorder::new(Budget { keep_us: 10_000_000, ..Budget::default() });
    let sample = |second: u64| Sample::new(BootTime(second * 1_000_000)).with(Series::Current, 1 << 20);
    for (key, second) in [(1, 0), (2, 0), (1, 5), (2, 5)] {
        recorder.push(CgroupKey(key), &sample(second), false);
        if (key, second) != (1, 5) {
            recorder.forget(CgroupKey(key), BootTime(second * 1_000_000));
        }
    }
    let is_known = |recorder: &Recorder| [1, 2].map(|key| recorder.latest(CgroupKey(key)).is_some());
    recorder.forget(CgroupKey(9), BootTime(12_000_000));
    assert_eq!(is_known(&recorder), [true, true]);
    recorder.forget(CgroupKey(9), BootTime(16_000_000));
    assert_eq!(is_known(&recorder), [true, false]);
    let memory = recorder.memory();
    recorder.forget(CgroupKey(1), BootTime(16_000_000));
    recorder.forget(CgroupKey(9), BootTime(27_000_000));
    assert_eq!((recorder.memory(), memory > 0), (0, true));
}

/// Growth is what the charge rose by since the time that is asked about, also while the last second is not written yet.
#[test]
fn growth_since() {
    let mut recorder = Recorder::new(Budget::default());
    let mut push = |ms: u64, mib: u64, fine: bool| {
        let sample = Sample::new(BootTime(ms * 1000)).with(Series::Current, mib << 20);
        recorder.push(CgroupKey(1), &sample, fine);
        recorder.growth(CgroupKey(1), BootTime(0)) >> 20
    };
    assert_eq!(push(1_000, 50, false), 0);
    assert_eq!(push(2_000, 20, false), 0);
    assert_eq!(push(3_000, 30, false), 10);
    assert_eq!(push(3_010, 10, true), 0);
    assert_eq!(push(3_020, 90, true), 80);
    assert_eq!(recorder.growth(CgroupKey(1), BootTime(4_000_000)), 0);
    assert_eq!(recorder.growth(CgroupKey(2), BootTime(0)), 0);
}
