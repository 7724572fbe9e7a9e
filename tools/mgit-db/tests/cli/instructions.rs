//! Promise: `MGIT_CPU` takes narrower instructions, with which a store gets the same bytes of its
//! tensors and gives the same files; a value that names none is refused, not passed over.

use serde_json::Value;

use crate::common::{Sandbox, model};

/// Imports a model and a child of it; what is exported, and how many bytes the tensors take.
fn child_of(cpu: &str, profile: &str) -> (Vec<u8>, Value) {
    let sandbox = Sandbox::new();
    sandbox.write("base.safetensors", &model(1));
    let mut child = model(1);
    let len = child.len();
    child[len - 3000..].iter_mut().step_by(7).for_each(|byte| *byte ^= 1);
    sandbox.write("child.safetensors", &child);
    let run = |arguments: &[&str]| {
        let answer = sandbox.run_with(&[("MGIT_CPU", cpu)], arguments);
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        answer.text()
    };
    run(&["init", "s"]);
    run(&["import", "s", "base.safetensors", "--name", "base", "--profile", profile]);
    let import = ["import", "s", "child.safetensors", "--name", "child", "--parent", "base"];
    run(&[&import[..], &["--profile", profile]].concat());
    run(&["export", "s", "child", "out.safetensors"]);
    let stat: Value = serde_json::from_str(&run(&["stat", "s", "--json"])).unwrap();
    (std::fs::read(sandbox.path("out.safetensors")).unwrap(), stat["stored_tensor_bytes"].clone())
}

#[test]
fn narrower_instructions_give_the_same() {
    for profile in ["fast", "balanced", "dense"] {
        // What the processor does not have is not used: no value raises it.
        let [widest, avx2, portable] =
            ["avx512", "avx2", "portable"].map(|cpu| child_of(cpu, profile));
        assert!(widest.1.as_u64() > Some(0), "{profile}: {:?}", widest.1);
        assert!(widest == avx2 && widest == portable, "{profile}");
    }
}

#[test]
fn instructions_that_do_not_exist_are_refused() {
    let sandbox = Sandbox::new();
    for value in ["", "AVX2", "neon"] {
        let answer = sandbox.run_with(&[("MGIT_CPU", value)], &["init", "s"]);
        assert_eq!(answer.code, Some(2), "{}", answer.stderr);
        let expected = "MGIT_CPU: no set of instructions is named";
        assert!(answer.stderr.contains(expected), "{}", answer.stderr);
        assert!(answer.stderr.contains("portable, avx2 or avx512"), "{}", answer.stderr);
        assert!(!sandbox.path("s").exists());
    }
}
