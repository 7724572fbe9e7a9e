//! Child processes: this test program again, in a role that an environment variable names.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

const ROLE: &str = "MGIT_TEST_ROLE";
const STORE: &str = "MGIT_TEST_STORE";

/// The role of this process and the store it works on; `None` in the test run itself.
pub fn role() -> Option<(String, std::path::PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var_os(STORE)?.into()))
}

/// Tells the parent something.
pub fn say(word: &str) {
    println!("\n@{word}");
    std::io::stdout().flush().expect("a parent that listens");
}

/// Waits for a line from the parent; `None` when it has hung up.
pub fn hear() -> Option<String> {
    let mut line = String::new();
    let len = std::io::stdin().read_line(&mut line).expect("a parent that talks");
    (len > 0).then(|| line.trim().to_owned())
}

/// A child in a role. Killed when it is dropped.
pub struct RoleChild {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl RoleChild {
    /// Starts `role` on `store`: the test `child_role` of `module` (`module_path!()`) plays it.
    pub fn start(module: &str, role: &str, store: &Path) -> Self {
        let program = std::env::current_exe().expect("this program");
        Self::start_with(Command::new(program), module, role, store)
    }

    /// Starts `role` on `store` in mounts of its own, behind `mount`, a shell command to which the
    /// store's folder is `$0`. `None` where that is not allowed.
    pub fn start_mounted(module: &str, mount: &str, role: &str, store: &Path) -> Option<Self> {
        let folder = store.parent().expect("a folder");
        let mounted = |script: &str| {
            let mut command = Command::new("unshare");
            command.args(["-m", "sh", "-c", &format!("{mount} && {script}")]).arg(folder);
            command
        };
        let quiet = mounted("true").stdout(Stdio::null()).stderr(Stdio::null()).status();
        if !quiet.is_ok_and(|status| status.success()) {
            return None;
        }
        let mut command = mounted("exec \"$@\"");
        command.arg(std::env::current_exe().expect("this program"));
        Some(Self::start_with(command, module, role, store))
    }

    fn start_with(mut command: Command, module: &str, role: &str, store: &Path) -> Self {
        // The names of tests begin behind the program's.
        let (_, module) = module.split_once("::").expect("a module of a test program");
        let mut child = command
            .arg(format!("{module}::child_role"))
            .args(["--exact", "--nocapture", "--test-threads=1"])
            .env(ROLE, role)
            .env(STORE, store)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child");
        let input = child.stdin.take().expect("its input");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        RoleChild { child, input, output }
    }

    /// Waits for the next thing it says.
    pub fn hear(&mut self) -> String {
        let mut line = String::new();
        loop {
            line.clear();
            let len = self.output.read_line(&mut line).expect("its output");
            assert!(len > 0, "the child ended: {:?}", self.child.wait());
            if let Some(word) = line.trim().strip_prefix('@') {
                return word.to_owned();
            }
        }
    }

    /// Asserts what it says next.
    #[track_caller]
    pub fn expect(&mut self, word: &str) {
        assert_eq!(self.hear(), word);
    }

    /// Tells it something.
    pub fn say(&mut self, word: &str) {
        writeln!(self.input, "{word}").expect("a child that listens");
    }

    /// Kills it at once, as a crash would.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Waits for it to end well.
    pub fn finish(mut self) {
        self.say("end");
        // What it still prints is not waited for by anybody else.
        std::io::copy(&mut self.output, &mut std::io::sink()).expect("its output");
        assert!(self.child.wait().expect("its end").success());
    }
}

impl Drop for RoleChild {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
