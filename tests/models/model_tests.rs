//! Promise: tests find what is wrong in a family and read each distinct tensor once; a result is
//! known again for equal content only, and never when its test has changed; whatever a command
//! does, the store stays as it was, and a command that came with a store does not run untrusted.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common;
use crate::common::new_store;
use mgit::command::TrustFile;
use mgit::half::f16;
use mgit::model_tests::{
    Builtin, CommandTrust, Metric, ModelTest, RunOptions, RunReport, Runner, Selector, Status,
    Test, TestFailure, What,
};
use mgit::upkeep::{VerifyDepth, backup, salvage, verify};
use mgit::{Dtype, How, Model, NewModel, NewTensor, Shape, Store};

const ELEMENTS: usize = 2048;

/// A tensor of F16, some of it NaN if wanted.
fn halves(seed: u64, nan: bool) -> Vec<u8> {
    let mut bytes: Vec<u8> = common::weights(seed, ELEMENTS)
        .chunks_exact(4)
        .map(|number| f16::from_f32(f32::from_le_bytes(number.try_into().unwrap())))
        .flat_map(f16::to_le_bytes)
        .collect();
    if nan {
        bytes[100..102].copy_from_slice(&f16::NAN.to_le_bytes());
    }
    bytes
}

fn add(store: &Store, name: &str, parent: Option<&str>, tensors: &[(&str, &[u8])]) {
    let mut model = NewModel::new(name);
    if let Some(parent) = parent {
        model = model.parent(parent, How::FineTune);
    }
    for (name, bytes) in tensors {
        let shape = Shape::new(&[(bytes.len() / 2) as u64]).unwrap();
        model = model.tensor(NewTensor::from_bytes(*name, Dtype::F16, shape, bytes));
    }
    let mut transaction = store.begin_write().unwrap();
    transaction.add_model(model).unwrap();
    transaction.commit().unwrap();
}

fn run_with(store: &Store, tests: &[Test], options: RunOptions<'_>) -> RunReport {
    let snapshot = store.snapshot().unwrap();
    let nodes = snapshot.nodes().unwrap();
    let report = Runner::new(&snapshot, options).run(Some(store), tests, &nodes).unwrap();
    assert!(report.not_kept.is_none(), "{:?}", report.not_kept);
    report
}

fn trusting() -> RunOptions<'static> {
    RunOptions { trust: CommandTrust::Everything, jobs: 2, ..RunOptions::default() }
}

fn builtin(builtin: Builtin) -> Test {
    Test::new(builtin.name(), What::Builtin(builtin))
}

fn command(name: &str, line: &str) -> Test {
    Test::new(name, What::Command(line.parse().unwrap()))
}

fn is_whole(store: &Store) {
    let report = verify(store, &store.snapshot().unwrap(), VerifyDepth::Full, &|_| ()).unwrap();
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[test]
fn eight_of_ninety_one_hold_nan_and_each_tensor_is_read_once() {
    let (_folder, _, store) = new_store();
    let shared: Vec<Vec<u8>> = (0..5).map(|seed| halves(seed, false)).collect();
    let bad: HashSet<usize> = [3, 17, 21, 40, 55, 68, 77, 90].into();
    for at in 0..91 {
        let head = halves(1000 + at as u64, bad.contains(&at));
        let names = ["a", "b", "c", "d", "e"];
        let mut tensors: Vec<(&str, &[u8])> =
            names.into_iter().zip(shared.iter().map(Vec::as_slice)).collect();
        tensors.push(("head", &head));
        add(&store, &format!("m{at}"), (at > 0).then_some("m0"), &tensors);
    }
    let report = run_with(&store, &[builtin(Builtin::Finite)], trusting());
    let failed: HashSet<String> = report
        .results
        .iter()
        .filter(|result| result.status == Status::Failed)
        .map(|result| result.node.name().to_owned())
        .collect();
    assert_eq!(failed, bad.iter().map(|at| format!("m{at}")).collect());
    assert!(report.results.iter().all(|r| r.status == Status::Passed || !r.reasons.is_empty()));
    // 91 heads, and the five that all share.
    assert_eq!(report.bytes_read, (91 + 5) * 2 * ELEMENTS as u64);
    let again = run_with(&store, &Builtin::ALL.map(builtin), trusting());
    assert_eq!(again.bytes_read, 0);
    assert_eq!(again.results.len(), 4 * 91);
    let fresh =
        run_with(&store, &[builtin(Builtin::Sparsity)], RunOptions { fresh: true, ..trusting() });
    assert_eq!(fresh.bytes_read, report.bytes_read);
    is_whole(&store);
}

#[test]
fn drift_is_measured_against_the_parent() {
    let (_folder, _, store) = new_store();
    let numbers = |scale: f32| -> Vec<u8> {
        let number = |at: usize| f16::from_f32(scale * [1.0, -2.0, 0.0, 4.0][at % 4]);
        (0..64).flat_map(|at| number(at).to_le_bytes()).collect()
    };
    add(&store, "base", None, &[("w", &numbers(1.0)), ("gone", &numbers(3.0))]);
    add(&store, "twice", Some("base"), &[("w", &numbers(2.0)), ("new", &numbers(9.0))]);
    let mut drift = builtin(Builtin::NormDrift);
    drift.bounds = vec!["norm-drift<=0.5".parse().unwrap()];
    let tests = [drift, builtin(Builtin::Sparsity), builtin(Builtin::Statistics)];
    let report = run_with(&store, &tests, trusting());
    let of = |model: &str, test: &str| {
        let of = |result: &&mgit::model_tests::TestResult| {
            result.node.name() == model && result.test == test
        };
        report.results.iter().find(of).unwrap()
    };
    assert_eq!(of("base", "norm-drift").status, Status::Passed);
    let twice = of("twice", "norm-drift");
    assert_eq!((twice.status, twice.finding.value("norm-drift")), (Status::Failed, Some(1.0)));
    assert_eq!(of("base", "sparsity").finding.value("sparsity"), Some(0.25));
    let statistics = &of("twice", "statistics").finding;
    assert_eq!(statistics.value("max"), Some(36.0));
    assert_eq!(statistics.value("deviation-drift"), Some(1.0));
}

#[test]
fn a_result_is_known_for_equal_content_and_never_stale() {
    let (folder, _, store) = new_store();
    let (script, log) = (folder.path().join("eval.sh"), folder.path().join("log"));
    let write = |value: &str| {
        let line = r#"{"metric": "size", "value": VALUE, "direction": "higher"}"#;
        let line = line.replace("VALUE", value);
        let text =
            format!("test -s \"$1\" || exit 9\necho run >> {}\necho '{line}'\n", log.display());
        std::fs::write(&script, text).unwrap();
    };
    let runs = || std::fs::read_to_string(&log).map_or(0, |text| text.lines().count());
    write("1");
    add(&store, "a", None, &[("w", &halves(1, false))]);
    add(&store, "same", Some("a"), &[("w", &halves(1, false))]);
    let mut test = command("size", &format!("sh {} {{model}}", script.display()));
    let first = run_with(&store, std::slice::from_ref(&test), trusting());
    assert!(first.is_passed(), "{:?}", first.results);
    // Equal content is one run.
    assert_eq!((first.results.len(), first.runs, runs()), (2, 1, 1));
    let again = run_with(&store, std::slice::from_ref(&test), trusting());
    assert!(again.is_passed() && again.results.iter().all(|result| result.was_known));
    assert_eq!(runs(), 1);
    // Bounds are judged anew, on what is known.
    test.bounds = vec!["size>=parent+1".parse().unwrap()];
    let bounded = run_with(&store, std::slice::from_ref(&test), trusting());
    let statuses: Vec<Status> = bounded.results.iter().map(|result| result.status).collect();
    assert_eq!((statuses, runs()), (vec![Status::Passed, Status::Failed], 1));
    // Other content under a known name, and another script, are run.
    add(&store, "a", Some("same"), &[("w", &halves(2, false))]);
    assert_eq!(run_with(&store, std::slice::from_ref(&test), trusting()).runs, 1);
    write("2");
    assert_eq!(run_with(&store, std::slice::from_ref(&test), trusting()).runs, 2);
    let known = RunOptions { known_only: true, ..trusting() };
    let known = run_with(&store, std::slice::from_ref(&test), known);
    assert_eq!(known.results[0].finding.value("size"), Some(2.0));
    is_whole(&store);
}

#[test]
fn hostile_commands_are_told_and_change_nothing() {
    let (folder, _, store) = new_store();
    add(&store, "a", None, &[("w", &halves(1, false))]);
    let before = store.snapshot().unwrap().sequence();
    let mut hangs = command("hangs", "sleep 1000");
    hangs.time_limit = Duration::from_millis(100);
    let tests = [
        (hangs, Status::Error, "time limit"),
        (command("dies", "sh -c 'kill -9 $$'"), Status::Error, "signal 9"),
        (command("fails", "sh -c 'echo no >&2; exit 3'"), Status::Failed, "exit code 3"),
        (command("rubbish", "sh -c 'echo {{{{{{'"), Status::Failed, "not JSON"),
        (command("wrong", r#"printf '{{"metric":1}}\n'"#), Status::Failed, "metric"),
        (command("binary", "head -c 300000 /dev/urandom"), Status::Passed, ""),
        (command("overwrites", "cp /bin/sh {model}"), Status::Passed, ""),
        (command("deletes", "rm {model}"), Status::Passed, ""),
        (command("missing", "/no/such/program {model}"), Status::Error, "cannot start"),
    ];
    let work = folder.path().join("work");
    std::fs::create_dir(&work).unwrap();
    for (test, status, reason) in tests {
        let options = RunOptions { work_folder: Some(work.clone()), ..trusting() };
        let report = run_with(&store, std::slice::from_ref(&test), options);
        let result = &report.results[0];
        // Random bytes may hold a line that begins as an object does.
        if test.name != "binary" {
            assert_eq!(result.status, status, "{result:?}");
            assert!(result.reasons.join(" ").contains(reason), "{result:?}");
        }
        assert!(result.finding.output.len() < 64 << 10, "{}", test.name);
        // What depends on the machine is not kept.
        let again = run_with(&store, std::slice::from_ref(&test), trusting());
        assert_eq!(again.results[0].was_known, status != Status::Error, "{}", test.name);
    }
    let left: Vec<_> = std::fs::read_dir(&work).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    let snapshot = store.snapshot().unwrap();
    assert_eq!(
        snapshot.model("a").unwrap().tensor("w").unwrap().view().unwrap()[..],
        halves(1, false)
    );
    assert!(snapshot.sequence() > before, "results were kept");
    assert!(snapshot.changes().take(3).all(|change| change.unwrap().operations.is_empty()));
    is_whole(&store);
}

#[test]
fn a_full_disk_for_models_is_an_error_of_its_own() {
    let (folder, _, store) = new_store();
    add(&store, "a", None, &[("w", &halves(1, false))]);
    add(&store, "big", None, &[("w", &common::noise(9, 256 << 10))]);
    let test = [command("any", "true {model}")];
    let work = |path: &Path| RunOptions { work_folder: Some(path.to_owned()), ..trusting() };
    // A folder that is not there is as little use as a full one.
    let report = run_with(&store, &test, work(&folder.path().join("none")));
    assert_eq!(report.results[0].status, Status::Error);
    let small = folder.path().join("small");
    std::fs::create_dir(&small).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=64k", "none"];
    let mounted = std::process::Command::new("mount").args(mount).arg(&small).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        eprintln!("no file system may be mounted here: a full one is not tried");
        return;
    }
    let report = run_with(&store, &test, work(&small));
    let fills = [command("fills", "sh -c 'cat /dev/zero > \"$1.x\"' sh {model}")];
    let filled = run_with(&store, &fills, work(&small));
    std::process::Command::new("umount").arg(&small).output().unwrap();
    let [fits, too_large] = report.results.as_slice() else { panic!("{report:?}") };
    assert_eq!((fits.status, too_large.status), (Status::Passed, Status::Error));
    assert!(too_large.reasons[0].contains("space"), "{too_large:?}");
    let filled = &filled.results[0];
    assert_eq!(filled.status, Status::Failed, "{filled:?}");
    assert!(filled.finding.output.contains("space"), "{filled:?}");
    is_whole(&store);
}

#[test]
fn an_untrusted_command_does_not_run() {
    let (folder, _, store) = new_store();
    add(&store, "a", None, &[("w", &halves(1, false))]);
    let mark = folder.path().join("mark");
    let test = command("mark", &format!("touch {}", mark.display()));
    let What::Command(template) = &test.what else { unreachable!() };
    let file = TrustFile::at(folder.path().join("trusted"));
    for trust in [CommandTrust::Nothing, CommandTrust::File(file.clone())] {
        let options = RunOptions { trust, ..RunOptions::default() };
        let report = run_with(&store, std::slice::from_ref(&test), options);
        assert_eq!((report.results[0].status, report.runs), (Status::NotRun, 0));
        assert!(report.results[0].reasons[0].contains("not trusted"), "{report:?}");
        assert!(!mark.exists());
    }
    file.add(template).unwrap();
    let options = RunOptions { trust: CommandTrust::File(file), ..RunOptions::default() };
    let report = run_with(&store, std::slice::from_ref(&test), options);
    assert!(report.is_passed() && mark.exists());
}

struct Counts;

impl ModelTest for Counts {
    fn version(&self) -> String {
        "1".to_owned()
    }

    fn run(&self, model: &Model) -> Result<Vec<Metric>, TestFailure> {
        match model.node().name() {
            "panics" => panic!("as it is told"),
            "refused" => Err(TestFailure::new("refused")),
            _ => {
                let bytes: u64 = model.tensors().map(|tensor| tensor.byte_len()).sum();
                Ok(vec![Metric::new("bytes", bytes as f64, None)])
            }
        }
    }
}

#[test]
fn tests_of_a_program_see_the_stored_model() {
    let (_folder, _, store) = new_store();
    for (seed, name) in ["fine", "panics", "refused"].into_iter().enumerate() {
        add(&store, name, None, &[("w", &halves(seed as u64, false))]);
    }
    let test = [Test::new("bytes", What::Code("counts".into()))];
    let code = HashMap::from([("counts".to_owned(), &Counts as &dyn ModelTest)]);
    let report = run_with(&store, &test, RunOptions { code, ..RunOptions::default() });
    let statuses: Vec<Status> = report.results.iter().map(|result| result.status).collect();
    assert_eq!(statuses, [Status::Passed, Status::Error, Status::Failed]);
    assert_eq!(report.results[0].finding.value("bytes"), Some(2.0 * ELEMENTS as f64));
    let without = run_with(&store, &test, RunOptions::default());
    assert!(without.results.iter().all(|result| result.status == Status::NotRun));
}

/// Overwrites every extent of the catalogue.
fn lose_catalogue(path: &Path) {
    let extents = Store::open_read_only(path).unwrap().container().superblock().extents;
    let mut bytes = std::fs::read(path).unwrap();
    let len = bytes.len();
    for extent in extents {
        bytes[extent.offset as usize..len.min(extent.end() as usize)].fill(0);
    }
    std::fs::write(path, bytes).unwrap();
}

/// The definitions in a store.
fn registered(store: &Store) -> Vec<String> {
    let tests = store.snapshot().unwrap().tests().unwrap();
    tests
        .into_iter()
        .map(|(name, test)| format!("{name} {}", serde_json::to_string(&test).unwrap()))
        .collect()
}

#[test]
fn tests_are_kept_by_backups_and_salvages_and_find_later_models() {
    let (folder, path, store) = new_store();
    add(&store, "base", None, &[("w", &halves(1, false))]);
    let node = store.snapshot().unwrap().nodes().unwrap().remove(0);
    let mut transaction = store.begin_write().unwrap();
    for (name, on) in [
        ("all", Selector::All),
        ("glob", Selector::glob("tasks/*").unwrap()),
        ("kind", Selector::Kind("bert".into())),
        ("node", Selector::Node(node.id())),
        ("regex", Selector::regex("^tasks/[ab]$").unwrap()),
        ("removed", Selector::All),
    ] {
        let mut test = builtin(Builtin::Finite);
        (test.name, test.on) = (name.to_owned(), on);
        test.register(&mut transaction).unwrap();
    }
    assert!(transaction.remove_test("removed").unwrap());
    assert!(!transaction.remove_test("removed").unwrap());
    transaction.commit().unwrap();
    assert!(Selector::regex("(").is_err());
    for (seed, name) in ["tasks/a", "tasks/c", "other"].into_iter().enumerate() {
        add(&store, name, Some("base"), &[("w", &halves(seed as u64 + 2, false))]);
    }
    let mut transaction = store.begin_write().unwrap();
    transaction.set_kind("other", "bert").unwrap();
    transaction.commit().unwrap();
    let tests = Test::all(&store.snapshot().unwrap()).unwrap();
    let report = run_with(&store, &tests, RunOptions::default());
    let of = |name: &str| -> Vec<String> {
        let of = report.results.iter().filter(|result| result.node.name() == name);
        of.map(|result| result.test.clone()).collect()
    };
    assert_eq!(of("base"), ["all", "node"]);
    assert_eq!(of("tasks/a"), ["all", "glob", "regex"]);
    assert_eq!(of("tasks/c"), ["all", "glob"]);
    assert_eq!(of("other"), ["all", "kind"]);

    let before = registered(&store);
    assert_eq!(before.len(), 5);
    let copy = folder.path().join("copy");
    backup(&store, &store.snapshot().unwrap(), &copy, &|_| ()).unwrap();
    assert_eq!(registered(&Store::open_read_only(&copy).unwrap()), before);
    drop(store);
    let saved = folder.path().join("saved");
    salvage(&path, &saved, &|_| ()).unwrap();
    assert_eq!(registered(&Store::open_read_only(&saved).unwrap()), before);
    // Without its catalogue, from the change records alone.
    lose_catalogue(&path);
    let saved: PathBuf = folder.path().join("from-records");
    salvage(&path, &saved, &|_| ()).unwrap();
    assert_eq!(registered(&Store::open_read_only(&saved).unwrap()), before);
}

/// What a built-in test finds of the model `m`, with a bound on what it has not seen: its status,
/// metrics by name, reasons.
fn found(store: &Store, builtin: Builtin, bound: &str) -> (Status, Vec<(String, f64)>, String) {
    let snapshot = store.snapshot().unwrap();
    let mut tests = [Test::new("t", What::Builtin(builtin))];
    tests[0].bounds.push(bound.parse().unwrap());
    let nodes = snapshot.nodes().unwrap();
    let runner = Runner::new(&snapshot, RunOptions::default());
    let report = runner.run(Some(store), &tests, &nodes).unwrap();
    // What is known of it says the same.
    let known = RunOptions { known_only: true, ..RunOptions::default() };
    let snapshot = store.snapshot().unwrap();
    let again = Runner::new(&snapshot, known).run(None, &tests, &nodes).unwrap();
    let [result, again] = [&report.results[0], &again.results[0]];
    assert_eq!(result.finding.metrics, again.finding.metrics);
    let metrics = result.finding.metrics.iter();
    let metrics = metrics.map(|metric| (metric.name.clone(), metric.value)).collect();
    (result.status, metrics, result.reasons.join("; "))
}

#[test]
fn what_was_not_looked_into_is_counted_in_the_result() {
    let (_folder, _path, store) = new_store();
    let door = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/door/tiny-q8.gguf");
    let source = mgit::interchange::ModelSource::open(std::path::Path::new(door)).unwrap();
    common::write(&store, |t| t.add_model(NewModel::new("m").source(&source)).map(drop)).unwrap();
    for builtin in Builtin::ALL {
        let (status, metrics, _) = found(&store, builtin, "not-seen<=2");
        assert_eq!(status, Status::Passed, "{builtin:?}");
        assert_eq!(metrics.last(), Some(&("not-seen".to_owned(), 2.0)), "{builtin:?}");
    }
    // Nothing at all.
    let (_folder, _path, store) = new_store();
    let tensor = |name: &str| {
        let (dtype, shape) = (Dtype::from_name("Q4_K"), Shape::new(&[256]).unwrap());
        NewTensor::from_bytes(name, dtype, shape, &[7; 144][..])
    };
    let model = NewModel::new("m").tensor(tensor("a")).tensor(tensor("b"));
    common::write(&store, |t| t.add_model(model).map(drop)).unwrap();
    let (status, metrics, reasons) = found(&store, Builtin::Finite, "not-seen<=2");
    assert_eq!((status, &metrics[..]), (Status::Failed, &[("not-seen".to_owned(), 2.0)][..]));
    assert_eq!(reasons, "not tested: none of its weights is of a type that is looked into");
    // All of it.
    let (_folder, _path, store) = new_store();
    add(&store, "m", None, &[("w", &halves(1, false))]);
    for builtin in Builtin::ALL {
        let (status, metrics, reasons) = found(&store, builtin, "not-seen<=0");
        assert_eq!((status, reasons.as_str()), (Status::Passed, ""), "{builtin:?}");
        assert_eq!(metrics.last(), Some(&("not-seen".to_owned(), 0.0)), "{builtin:?}");
    }
}
