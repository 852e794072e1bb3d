//! Servers and proxies of others, started for one test on free ports of loopback, and ended with it.

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// None of them takes so long to answer.
const STARTS: Duration = Duration::from_secs(30);

/// A program that runs as long as this lives.
pub struct Program {
    child: Child,
    pub port: u16,
    /// Its configuration and files.
    pub directory: TempDir,
}

impl Program {
    /// Starts what `command` gives for its directory, and waits until it listens at `port`.
    pub fn start(port: u16, directory: TempDir, mut command: Command) -> Self {
        let said = std::fs::File::create(directory.path().join("said")).unwrap();
        let name = command.get_program().to_owned();
        let child = command
            .stdin(Stdio::null())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; './test' installs it", name.display()));
        let mut program = Self { child, port, directory };
        let begun = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = program.child.try_wait().unwrap().is_some();
            assert!(!ended && begun.elapsed() < STARTS, "{} does not start: {}", name.display(), program.said());
            thread::sleep(Duration::from_millis(20));
        }
        program
    }

    fn said(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("said")).unwrap_or_default()
    }

    /// A URL of it with this path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens at now.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A program of this machine, also one that only the path of root has.
pub fn installed(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let found = places.map(|place| place.join(name)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("there is no {name} here; './test' installs it"))
}

/// httpbin under waitress, of the Python environment that `./test` makes.
pub fn httpbin() -> Program {
    let python = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/programs/bin/python");
    assert!(python.is_file(), "there is no {}; './test' makes it", python.display());
    let port = free_port();
    let mut command = Command::new(python);
    command.args(["-m", "waitress", "--threads=16", &format!("--listen=127.0.0.1:{port}"), "httpbin:app"]);
    Program::start(port, TempDir::new().unwrap(), command)
}

/// nginx with this `http` block; `prepare` fills the directory, which relative paths mean.
pub fn nginx(port: u16, modules: &[&str], http: &str, prepare: impl FnOnce(&Path)) -> Program {
    let directory = TempDir::new().unwrap();
    prepare(directory.path());
    let mut text = String::new();
    for module in modules {
        let _ = writeln!(text, "load_module /usr/lib/nginx/modules/{module}.so;");
    }
    // As root its worker would run as another user, who may not read the directory.
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        text.push_str("user root;\n");
    }
    text.push_str("daemon off;\nworker_processes 1;\npid nginx.pid;\nevents {}\nhttp {\naccess_log off;\n");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        let _ = writeln!(text, "{kind}_temp_path scratch_{kind};");
    }
    let _ = writeln!(text, "{http}\n}}");
    std::fs::write(directory.path().join("nginx.conf"), text).unwrap();
    let mut command = Command::new(installed("nginx"));
    command.arg("-p").arg(directory.path()).args(["-e", "error.log", "-c", "nginx.conf"]);
    Program::start(port, directory, command)
}

/// An HTTP proxy that wants `user` and `secret`.
pub fn tinyproxy() -> Program {
    let (port, directory) = (free_port(), TempDir::new().unwrap());
    let file = directory.path().join("tinyproxy.conf");
    let text = format!(
        "Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 50\nAllow 127.0.0.1\nBasicAuth user secret\nDisableViaHeader Yes\nLogLevel Info\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(installed("tinyproxy"));
    command.arg("-d").arg("-c").arg(file);
    Program::start(port, directory, command)
}

/// A SOCKS5 proxy that wants `user` and `secret`.
pub fn microsocks() -> Program {
    let port = free_port();
    let mut command = Command::new(installed("microsocks"));
    command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "user", "-P", "secret"]);
    Program::start(port, TempDir::new().unwrap(), command)
}
