//! What a runtime has to do under a daemon that speaks the Docker API: one list of claims for dockerd
//! and engined, for every runtime there is.

use integration_tests::{Client, eventually};

/// A docker CLI, the image it runs and the runtime it asks for.
#[derive(Debug)]
pub(crate) struct Suite<'a> {
    pub(crate) docker: &'a Client,
    pub(crate) image: &'a str,
    pub(crate) runtime: &'a str,
    /// It words its errors as runc does, from which the docker CLI reads its own exit code.
    pub(crate) words_of_runc: bool,
    /// A container without a terminal can be given input.
    pub(crate) takes_input: bool,
}

impl<'a> Suite<'a> {
    /// For a runtime that words its errors as runc does, under a shim that gives input.
    pub(crate) fn new(docker: &'a Client, image: &'a str, runtime: &'a str) -> Self {
        Self { docker, image, runtime, words_of_runc: true, takes_input: true }
    }

    /// All of it.
    pub(crate) fn passes_with_limits(&self) {
        self.passes();
        self.limits_hold();
    }

    /// All that needs no cgroup controller.
    pub(crate) fn passes(&self) {
        self.exit_codes_and_streams();
        self.a_life_of_a_detached_container();
        self.terminals();
        self.what_the_process_may();
        let left = self.docker.run(&["ps", "-aq"]).ok();
        assert_eq!(left, "", "{}: containers are left", self.runtime);
    }

    fn run(&self, args: &[&str]) -> integration_tests::Output {
        self.docker.run(&[&["run", "--runtime", self.runtime], args].concat())
    }

    fn inspect(&self, field: &str, name: &str) -> String {
        self.docker.run(&["inspect", "-f", &format!("{{{{.State.{field}}}}}"), name]).ok()
    }

    fn exit_codes_and_streams(&self) {
        let (runtime, image) = (self.runtime, self.image);
        let output = self.run(&[
            "--rm",
            "-e",
            "A=b",
            "-w",
            "/tmp",
            image,
            "sh",
            "-c",
            "echo $A $PWD; echo e >&2; exit 7",
        ]);
        let said = (output.code, output.stdout.as_str(), output.stderr.as_str());
        assert_eq!(said, (7, "b /tmp\n", "e\n"), "{runtime}");
        if self.takes_input {
            let args = ["run", "--runtime", runtime, "--rm", "-i", image, "cat"];
            assert_eq!(self.docker.run_with_input(&args, "typed\n").ok(), "typed", "{runtime}");
        }
        for (command, code) in [("nosuchcmd", 127), ("/etc/passwd", 126)] {
            let output = self.run(&["--name", "bad", image, command]);
            // The CLI knows runc's words alone.
            let codes = if self.words_of_runc { code..=code } else { 125..=125 };
            assert!(codes.contains(&output.code), "{runtime}: {command}: {} {}", output.code, output.stderr);
            assert_eq!(output.stdout, "", "{runtime}: {command}");
            assert_eq!(self.inspect("ExitCode", "bad"), code.to_string(), "{runtime}: {command}");
            self.docker.run(&["rm", "bad"]).ok();
        }
        // A first process ignores its own signals; another's SIGKILL ends it.
        let output = self.run(&["--rm", image, "sh", "-c", "sh -c 'kill -SEGV $$'; echo $?"]);
        assert_eq!(output.ok(), "139", "{runtime}");
    }

    fn a_life_of_a_detached_container(&self) {
        let (runtime, image) = (self.runtime, self.image);
        let script = "trap 'echo bye; exit 9' TERM; echo up; while :; do usleep 20000; done";
        self.run(&["-d", "--name", "box", image, "sh", "-c", script]).ok();
        eventually("it has said that it is up", || {
            (self.docker.run(&["logs", "box"]).stdout == "up\n").then_some(())
        });
        let exec = |args: &[&str]| self.docker.run(&[&["exec", "box"], args].concat());
        let output = exec(&["sh", "-c", "echo in; echo e >&2; exit 3"]);
        let said = (output.code, output.stdout.as_str(), output.stderr.as_str());
        assert_eq!(said, (3, "in\n", "e\n"), "{runtime}");
        let output = exec(&["nosuchcmd"]);
        assert!(matches!(output.code, 126 | 127), "{runtime}: {} {}", output.code, output.stderr);
        let said = output.stdout + &output.stderr;
        assert_eq!(said.matches("$PATH").count(), 1, "{runtime}: {said}");
        let args = ["exec", "-i", "box", "cat"];
        assert_eq!(self.docker.run_with_input(&args, "typed\n").ok(), "typed", "{runtime}");
        let user = self.docker.run(&["exec", "-u", "user", "-e", "A=b", "box", "sh", "-c", "id -u; echo $A"]);
        assert_eq!(user.ok(), "1000\nb", "{runtime}");
        assert!(self.docker.run(&["top", "box"]).ok().contains("usleep 20000"), "{runtime}");
        self.docker.run(&["stop", "box"]).ok();
        assert_eq!(self.inspect("ExitCode", "box"), "9", "{runtime}: stop sends TERM and waits");
        assert_eq!(self.docker.run(&["logs", "box"]).ok(), "up\nbye", "{runtime}");
        self.docker.run(&["start", "box"]).ok();
        self.docker.run(&["kill", "box"]).ok();
        eventually("it is dead", || (self.inspect("Status", "box") == "exited").then_some(()));
        assert_eq!(self.inspect("ExitCode", "box"), "137", "{runtime}");
        self.docker.run(&["rm", "box"]).ok();
    }

    fn terminals(&self) {
        let (runtime, image) = (self.runtime, self.image);
        let script = "tty; test -t 0 -a -t 1 -a -t 2 && echo all; exit 5";
        let run = ["run", "--runtime", runtime, "--rm", "-it", image, "sh", "-c", script];
        let output = self.docker.run_in_terminal(&run);
        assert_eq!(output.code, 5, "{runtime}: {}", output.stdout);
        assert!(
            ["/dev/pts/0", "all"].iter().all(|said| output.stdout.contains(said)),
            "{runtime}: {}",
            output.stdout
        );
        self.run(&["-d", "--name", "box", image, "sleep", "1000"]).ok();
        let output = self.docker.run_in_terminal(&["exec", "-it", "box", "sh", "-c", script]);
        assert_eq!(output.code, 5, "{runtime}: {}", output.stdout);
        assert!(
            ["/dev/pts/0", "all"].iter().all(|said| output.stdout.contains(said)),
            "{runtime}: {}",
            output.stdout
        );
        self.docker.run(&["rm", "-f", "box"]).ok();
    }

    fn what_the_process_may(&self) {
        let (runtime, image) = (self.runtime, self.image);
        let none = self.run(&[
            "--rm",
            "--cap-drop",
            "ALL",
            image,
            "sh",
            "-c",
            "grep CapEff /proc/self/status; chown 1:1 /tmp",
        ]);
        assert_eq!(none.code, 1, "{runtime}: {}", none.stdout);
        assert_eq!(none.stdout, "CapEff:\t0000000000000000\n", "{runtime}");
        assert!(none.stderr.contains("Operation not permitted"), "{runtime}: {}", none.stderr);
        let mount = "mkdir /m; mount -t tmpfs none /m";
        assert_ne!(self.run(&["--rm", image, "sh", "-c", mount]).code, 0, "{runtime}: mounts as it likes");
        self.run(&["--rm", "--cap-add", "SYS_ADMIN", image, "sh", "-c", mount]).ok();
        assert_ne!(self.run(&["--rm", "--read-only", image, "touch", "/x"]).code, 0, "{runtime}");
        let limits = "id -u; ulimit -n; cat /proc/sys/kernel/shm_rmid_forced; touch /tmp/x && echo tmp";
        let args =
            ["--rm", "-u", "1000:1000", "--ulimit", "nofile=123", "--sysctl", "kernel.shm_rmid_forced=1"];
        let output =
            self.run(&[&args[..], &["--read-only", "--tmpfs", "/tmp", image, "sh", "-c", limits]].concat());
        assert_eq!(output.ok(), "1000\n123\n1\ntmp", "{runtime}");
        let script = "hostname; grep -c ' /proc/sys proc ro' /proc/mounts; cat /proc/keys | wc -c";
        let output = self.run(&["--rm", "--hostname", "here", image, "sh", "-c", script]);
        assert_eq!(output.ok(), "here\n1\n0", "{runtime}: read-only and masked paths of /proc");
    }

    /// What cgroups do. Not for a runtime that has been told to leave them alone.
    pub(crate) fn limits_hold(&self) {
        let (runtime, image) = (self.runtime, self.image);
        let limits = ["--memory", "64m", "--memory-swap", "64m", "--pids-limit", "50", "--cpus", "0.5"];
        let sleep = ["-d", "--name", "box", image, "sleep", "1000"];
        self.run(&[&limits[..], &sleep[..]].concat()).ok();
        let pid = self.inspect("Pid", "box");
        let read = |controller: &str, file: &str| {
            let of = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("its cgroups");
            let line =
                of.lines().find(|line| line.split(':').nth(1) == Some(controller)).expect("a controller");
            let path = line.rsplit(':').next().expect("a path");
            let file = format!("/sys/fs/cgroup/{controller}{path}/{file}");
            std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file}: {e}")).trim().to_owned()
        };
        assert_eq!(read("memory", "memory.limit_in_bytes"), "67108864", "{runtime}");
        assert_eq!(read("pids", "pids.max"), "50", "{runtime}");
        assert_eq!(read("cpu", "cpu.cfs_quota_us"), "50000", "{runtime}");
        let stats =
            self.docker.run(&["stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", "box"]).ok();
        assert!(stats.starts_with("1 ") && stats.ends_with("/ 64MiB"), "{runtime}: {stats}");
        self.docker.run(&["update", "--memory", "32m", "--memory-swap", "32m", "box"]).ok();
        assert_eq!(read("memory", "memory.limit_in_bytes"), "33554432", "{runtime}: updated");
        self.docker.run(&["pause", "box"]).ok();
        assert_eq!(self.inspect("Status", "box"), "paused", "{runtime}");
        assert_eq!(read("freezer", "freezer.state"), "FROZEN", "{runtime}");
        assert_ne!(
            self.docker.run(&["exec", "box", "true"]).code,
            0,
            "{runtime}: exec in a paused container"
        );
        self.docker.run(&["unpause", "box"]).ok();
        assert_eq!(self.docker.run(&["exec", "box", "echo", "on"]).ok(), "on", "{runtime}");
        self.docker.run(&["rm", "-f", "box"]).ok();
        // An allowed device opens, another doesn't.
        let zero = ["--rm", image, "sh", "-c", "head -c 4 /dev/zero | wc -c"];
        assert_eq!(self.run(&zero).ok(), "4", "{runtime}");
        let node = "mknod /dev/mine b 1 0 && dd if=/dev/mine of=/dev/null count=1";
        let output = self.run(&["--rm", "--cap-add", "MKNOD", image, "busybox", "sh", "-c", node]);
        assert_ne!(output.code, 0, "{runtime}: a device that isn't its own");
        let memory = ["--memory", "16m", "--memory-swap", "16m"];
        let dd = "dd if=/dev/zero of=/dev/null bs=64M count=1";
        let output =
            self.run(&[&["--rm"], &memory[..], &[image, "sh", "-c", &format!("exec {dd}")]].concat());
        assert_eq!(output.code, 137, "{runtime}: {}", output.stderr);
        // Not the init and not at once: Go's shim begins to watch only after the start.
        let script = format!("sleep 1; {dd}; true");
        self.run(&[&["--name", "oom"], &memory[..], &[image, "sh", "-c", &script]].concat()).ok();
        eventually("it is known for out of memory", || {
            (self.inspect("OOMKilled", "oom") == "true").then_some(())
        });
        self.docker.run(&["rm", "-f", "oom"]).ok();
        self.privileged();
    }

    /// A root that lacks capabilities itself can give none away: then the runtime has to say so.
    fn privileged(&self) {
        let mount = "mount -t tmpfs none /tmp && ls /dev | wc -l";
        let output = self.run(&["--rm", "--privileged", self.image, "sh", "-c", mount]);
        let all = std::fs::read_to_string("/proc/self/status").expect("status");
        let cap = |name: &str| {
            let line = all.lines().find(|line| line.starts_with(name)).expect("capabilities");
            u64::from_str_radix(line.split_whitespace().nth(1).expect("a mask"), 16).expect("hexadecimal")
        };
        let last = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").expect("cap_last_cap");
        let last: u32 = last.trim().parse().expect("a number");
        if cap("CapBnd") == (1 << (last + 1)) - 1 || output.code == 0 {
            let devices: usize = output.ok().parse().expect("a count");
            assert!(devices > 20, "{}: the host's devices: {devices}", self.runtime);
        } else {
            assert!(output.stderr.contains("operation not permitted"), "{}: {}", self.runtime, output.stderr);
        }
    }
}
