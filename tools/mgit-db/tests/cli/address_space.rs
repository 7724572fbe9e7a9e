//! Promise: with too little address space for its threads, a command works with fewer of them or
//! says what is missing; it does not panic.

use std::process::Command;

#[test]
fn no_limit_of_address_space_makes_a_command_panic() {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let header = r#"{"w":{"dtype":"F32","shape":[64],"data_offsets":[0,256]}}"#;
    let header = format!("{header:<64}");
    let mut bytes = 64u64.to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend((0..=255u8).collect::<Vec<_>>());
    std::fs::write(&model, bytes).unwrap();
    let mut done = 0;
    // From too little for the program itself, which the system then ends, to enough.
    for mebibytes in (16..=160).step_by(8).chain([1 << 12]) {
        let store = folder.path().join(format!("{mebibytes}.mgit"));
        let script = format!(
            r#""$0" init "$1"; ulimit -v {}; exec "$0" import "$1" "$2" --name m"#,
            mebibytes << 10
        );
        let output = Command::new("sh")
            .args(["-c", &script, env!("CARGO_BIN_EXE_mgit-db")])
            .args([&store, &model])
            .env("RAYON_NUM_THREADS", "16")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!said.contains("panicked"), "{mebibytes} MiB: {said}");
        assert_ne!(output.status.code(), Some(101), "{mebibytes} MiB: {said}");
        done += u32::from(output.status.success());
    }
    assert!(done > 0, "4 GiB are enough");
}
