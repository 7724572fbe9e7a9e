//! A folder to work in, models to work on, and the tool to work with.

pub mod browser;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::{Value, json};

/// A temporary folder; paths in arguments are relative to it.
pub struct Sandbox(tempfile::TempDir);

/// What the tool answered.
#[derive(Debug)]
pub struct Answer {
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: String,
}

impl Answer {
    pub fn text(&self) -> String {
        String::from_utf8(self.stdout.clone()).unwrap()
    }

    pub fn json(&self) -> Value {
        let value: Value = serde_json::from_slice(&self.stdout)
            .unwrap_or_else(|error| panic!("not one document: {error}: {self:?}"));
        assert_eq!(value["schema"], 1, "{self:?}");
        value
    }
}

impl Sandbox {
    pub fn new() -> Self {
        Sandbox(tempfile::tempdir().unwrap())
    }

    /// A sandbox with an empty store `s`.
    pub fn with_store() -> Self {
        let sandbox = Sandbox::new();
        sandbox.ok(&["init", "s"]);
        sandbox
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.path(name), bytes).unwrap();
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mgit-db"));
        // Commands are trusted in this folder, and not in the home of whoever tests.
        command.current_dir(self.0.path()).env("XDG_CONFIG_HOME", self.path("config"));
        // A store that happens to lie above the temporary folder is not found.
        command.env_remove("MGIT_STORE").env("MGIT_CEILING", above(self.0.path()));
        command.args(arguments);
        command
    }

    /// The tool with the signals of a terminal: whoever runs the tests in the background may have
    /// them ignored, which the tool would heed.
    pub fn command_for_signals(&self, arguments: &[&str]) -> Command {
        let tool = self.command(arguments);
        let mut command = Command::new("env");
        command.arg("--default-signal=INT,TERM,HUP").arg(tool.get_program()).args(tool.get_args());
        let variables = tool.get_envs();
        command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(self.0.path());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Answer {
        answer(self.command(arguments).output().unwrap())
    }

    /// Runs with these variables set.
    pub fn run_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Answer {
        let mut command = self.command(arguments);
        answer(command.envs(variables.iter().copied()).output().unwrap())
    }

    /// Runs what must be done, with nothing on standard error; gives back what it printed.
    pub fn ok(&self, arguments: &[&str]) -> String {
        let answer = self.run(arguments);
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        answer.text()
    }

    /// As [`ok`](Self::ok), with `--json`.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let answer = self.run(&[arguments, &["--json"]].concat());
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(0), ""), "{arguments:?}");
        answer.json()
    }

    /// Runs what must fail with exit code `code`; gives back the message. The document of
    /// `--json` says the same, and nothing goes to standard error then.
    pub fn refused(&self, arguments: &[&str], code: i32) -> String {
        let answer = self.run(arguments);
        assert_eq!(answer.code, Some(code), "{arguments:?}: {answer:?}");
        assert!(answer.stdout.is_empty(), "{arguments:?}: {answer:?}");
        assert!(answer.stderr.starts_with("error: "), "{arguments:?}: {answer:?}");
        let failure = self.failure(arguments, code);
        assert!(failure["message"].as_str().is_some_and(|text| !text.is_empty()), "{failure}");
        answer.stderr
    }

    /// The `error` of the document of `--json`.
    pub fn failure(&self, arguments: &[&str], code: i32) -> Value {
        let answer = self.run(&[&["--json"], arguments].concat());
        assert_eq!((answer.code, answer.stderr.as_str()), (Some(code), ""), "{arguments:?}");
        let error = answer.json()["error"].clone();
        assert!(error["code"].is_string() && error["message"].is_string(), "{error}");
        error
    }

    /// Runs with the reading end of the tool's output closed.
    pub fn run_with_closed_pipe(&self, arguments: &[&str]) -> Answer {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        answer(self.command(arguments).stdout(writer).output().unwrap())
    }

    /// Imports what `model(seed)` gives under a name.
    pub fn import(&self, seed: u32, name: &str, more: &[&str]) -> Value {
        let file = format!("{name}.safetensors").replace('/', "-");
        self.write(&file, &model(seed));
        self.json(&[&["import", "s", &file, "--name", name], more].concat())
    }

    /// The full names of the models in the store.
    pub fn models(&self) -> Vec<String> {
        let models = self.json(&["ls", "s"])["models"].clone();
        let name = |model: &Value| model["model"].as_str().unwrap().to_owned();
        models.as_array().unwrap().iter().map(name).collect()
    }
}

/// The folder that holds this one, by its true name, as the tool sees where it is.
fn above(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap().parent().unwrap().to_owned()
}

fn answer(output: Output) -> Answer {
    let stderr = String::from_utf8(output.stderr).unwrap();
    Answer { code: output.status.code(), stdout: output.stdout, stderr }
}

/// Numbers that look random and are the same every time.
pub fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut state = u64::from(seed) + 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963);
        (state >> 40) as f32 / 16_777_216.0 - 0.5
    };
    (0..count).map(|_| next()).collect()
}

/// A safetensors file of these tensors.
pub fn file_of(tensors: &[(&str, Dtype, &[usize], Vec<u8>)]) -> Vec<u8> {
    let view = |(name, dtype, dims, bytes): &'_ (&str, Dtype, &[usize], Vec<u8>)| {
        (name.to_string(), TensorView::new(*dtype, dims.to_vec(), bytes).unwrap().into())
    };
    let views: Vec<(String, OwnedView)> = tensors.iter().map(view).collect();
    safetensors::serialize(views, None).unwrap()
}

/// A view that does not borrow.
struct OwnedView(Dtype, Vec<usize>, Vec<u8>);

impl From<TensorView<'_>> for OwnedView {
    fn from(view: TensorView<'_>) -> Self {
        OwnedView(view.dtype(), view.shape().to_vec(), view.data().to_vec())
    }
}

impl safetensors::View for OwnedView {
    fn dtype(&self) -> Dtype {
        self.0
    }
    fn shape(&self) -> &[usize] {
        &self.1
    }
    fn data(&self) -> std::borrow::Cow<'_, [u8]> {
        (&self.2).into()
    }
    fn data_len(&self) -> usize {
        self.2.len()
    }
}

pub fn bytes_of(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A model of three tensors. `embed` is the same for every seed; `layer` is the first seed's with
/// a few elements moved; `head` is another for every seed.
pub fn model(seed: u32) -> Vec<u8> {
    let mut layer = noise(1, 20_000);
    for value in layer.iter_mut().skip(seed as usize).step_by(50) {
        *value += seed as f32 / 1024.0;
    }
    file_of(&[
        ("embed", Dtype::F32, &[100, 100], bytes_of(&noise(0, 10_000))),
        ("layer", Dtype::F32, &[200, 100], bytes_of(&layer)),
        ("head", Dtype::F32, &[64], bytes_of(&noise(seed + 100, 64))),
    ])
}

/// Writes a model of two shards with its index into a new folder.
pub fn write_sharded(folder: &Path) {
    fs::create_dir(folder).unwrap();
    let names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    for (name, tensor) in names.iter().zip(["a", "b"]) {
        let bytes = bytes_of(&noise(tensor.len() as u32, 3000));
        let file = file_of(&[(tensor, Dtype::F32, &[30, 100], bytes)]);
        fs::write(folder.join(name), file).unwrap();
    }
    let index = json!({ "metadata": {}, "weight_map": { "a": names[0], "b": names[1] } });
    let index = format!("{index:#}\n\n");
    fs::write(folder.join("model.safetensors.index.json"), index).unwrap();
}

/// Every file of a folder with its bytes, by name.
pub fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let name = entry.file_name().into_string().unwrap();
            (name, fs::read(entry.path()).unwrap())
        })
        .collect();
    files.sort();
    files
}
