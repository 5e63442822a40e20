//! The last stretch before exec: credentials, limits of what may be done, and the program itself.
//!
//! Order: labels, filter (unless no_new_privileges lets it wait), bounding set, stdio's owner, ids, working
//! directory, capabilities, program; then the word of `start`, hooks, filter, exec.

use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd};

use nix::errno::Errno;
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};
use rustix::fs::{FileType, Mode, OFlags, makedev};

use super::capabilities;
use super::plan::{ProcessPlan, Seccomp};
use super::{console, seccomp};
use crate::error::{Context, Step, StepError};
use crate::sys;

/// Writable ends of the security modules' "label at next exec", opened while /proc is the host's.
#[derive(Debug, Default)]
pub(crate) struct Labels {
    apparmor: Option<File>,
    selinux: Option<File>,
}

impl Labels {
    pub(crate) fn open(process: &ProcessPlan) -> Step<Self> {
        let open = |path: &str| File::options().write(true).open(path).step(|| format!("open {path}"));
        let mut labels = Self::default();
        if !process.apparmor.is_empty() {
            let own = "/proc/self/attr/apparmor/exec";
            let path = if std::path::Path::new(own).exists() { own } else { "/proc/self/attr/exec" };
            if !std::path::Path::new("/sys/kernel/security/apparmor").exists() {
                let name = &process.apparmor;
                return Err(StepError::plain(format!(
                    "apparmor profile {name:?} is asked for, but this kernel has no AppArmor"
                )));
            }
            labels.apparmor = Some(open(path)?);
        }
        if !process.selinux.is_empty() && std::path::Path::new("/sys/fs/selinux/enforce").exists() {
            labels.selinux = Some(open("/proc/self/attr/exec")?);
        }
        Ok(labels)
    }

    fn write(self, process: &ProcessPlan) -> Step<()> {
        if let Some(mut file) = self.apparmor {
            let text = format!("exec {}", process.apparmor);
            file.write_all(text.as_bytes())
                .step(|| format!("apply apparmor profile {:?}", process.apparmor))?;
        }
        if let Some(mut file) = self.selinux {
            file.write_all(process.selinux.as_bytes()).step(|| format!("set label {:?}", process.selinux))?;
        }
        Ok(())
    }
}

/// Everything up to the program's path. The root and working directories are the container's already.
pub(crate) fn prepare(process: &mut ProcessPlan, labels: Labels) -> Step<CString> {
    labels.write(process)?;
    if let Some(scheduler) = &process.scheduler {
        sys::sched::set_scheduler(scheduler).step(|| "set scheduler")?;
    }
    if let Some(priority) = &process.io_priority {
        sys::sched::set_io_priority(priority).step(|| "set I/O priority")?;
    }
    rustix::process::umask(Mode::from_raw_mode(process.umask.unwrap_or(0o022)));
    if process.no_new_privileges {
        rustix::thread::set_no_new_privs(true).step(|| "set no_new_privileges")?;
    } else if let Some(filter) = &process.seccomp {
        // Without no_new_privileges it takes a capability that is about to go.
        load_filter(filter)?;
    }
    if let Some(sets) = &process.capabilities {
        capabilities::drop_bounding(sets)?;
    }
    // Read with root's rights: the user may not be allowed to.
    let home = if has(&process.env, b"HOME=") { None } else { Some(home_of(process.uid)) };
    give_stdio(process.uid)?;
    let early = chdir(process);
    set_ids(process)?;
    if early.is_err() {
        // A directory that only its owner may enter.
        chdir(process)?;
    }
    verify_cwd()?;
    match &process.capabilities {
        Some(sets) => capabilities::apply(sets)?,
        None => rustix::thread::set_keep_capabilities(false).step(|| "keep no capabilities")?,
    }
    if let Some(home) = home {
        process.env.push(home);
    }
    let name = process.args.first().ok_or_else(|| StepError::plain("args must not be empty"))?;
    find_program(name, &process.env)
}

/// After the last word to the parent: nothing returns from here but a failed exec.
pub(crate) fn execute(process: &ProcessPlan, program: &CStr) -> StepError {
    if process.no_new_privileges
        && let Some(filter) = &process.seccomp
        && let Err(e) = load_filter(filter)
    {
        return e;
    }
    let Err(errno) = nix::unistd::execve(program, &process.args, &process.env);
    StepError::new(format!("exec {}", program.to_string_lossy()), errno)
}

/// Installs the filter, and hands the listener (of a filter that asks somebody) to the agent.
fn load_filter(filter: &Seccomp) -> Step<()> {
    let listener = seccomp::load(&filter.program.bytes, filter.program.flags)
        .step(|| "error loading seccomp filter into kernel")?;
    let (Some(listener), Some((socket, state))) = (listener, &filter.agent) else { return Ok(()) };
    let mut state = state.clone();
    state["pid"] = std::process::id().into();
    console::send_fd(socket.as_fd(), state.to_string().as_bytes(), listener.as_fd())
        .step(|| "send the seccomp listener to its agent")
}

fn chdir(process: &ProcessPlan) -> Step<()> {
    rustix::process::chdir(process.cwd.as_c_str())
        .step(|| format!("chdir to cwd ({:?}) set in config.json failed", process.cwd.to_string_lossy()))
}

/// The kernel prefixes what lies outside our root (CVE-2024-21626: a working directory through a leaked
/// descriptor).
fn verify_cwd() -> Step<()> {
    let text = "current working directory is outside of container mount namespace root -- possible container breakout attempt";
    match rustix::process::getcwd(Vec::new()) {
        Ok(path) if path.as_bytes().starts_with(b"/") => Ok(()),
        Ok(_) | Err(rustix::io::Errno::NOENT) => Err(StepError::plain(text)),
        Err(e) => Err(e).step(|| "failed to verify if current working directory is safe"),
    }
}

fn set_ids(process: &ProcessPlan) -> Step<()> {
    let (uid, gid) = (Uid::from_raw(process.uid), Gid::from_raw(process.gid));
    let groups: Vec<Gid> = process.groups.iter().map(|g| Gid::from_raw(*g)).collect();
    match setgroups(&groups) {
        Ok(()) => {}
        // Denied for good in this user namespace; fine as long as nothing was asked for.
        Err(Errno::EPERM) if groups.is_empty() && setgroups_denied() => {}
        Err(e) => return Err(e).step(|| "set additional groups"),
    }
    rustix::thread::set_keep_capabilities(true).step(|| "keep capabilities")?;
    setresgid(gid, gid, gid).step(|| format!("set gid {gid}"))?;
    setresuid(uid, uid, uid).step(|| format!("set uid {uid}"))
}

fn setgroups_denied() -> bool {
    std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"deny"))
}

/// Stdio that the caller made for root becomes the user's, so that /dev/stdout can be reopened. Always by
/// descriptor, never the null device.
fn give_stdio(uid: u32) -> Step<()> {
    for fd in [rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr()] {
        let Ok(stat) = rustix::fs::fstat(fd) else { continue };
        let is_char = FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice;
        if stat.st_uid == uid || (is_char && stat.st_rdev == makedev(1, 3)) {
            continue;
        }
        match rustix::fs::fchown(fd, Some(rustix::fs::Uid::from_raw(uid)), None) {
            Ok(()) => {}
            // Not ours to give (user namespace, read-only file system): the container gets it as it is.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM | rustix::io::Errno::ROFS) => {}
            Err(e) => return Err(e).step(|| "give stdio to the user"),
        }
    }
    Ok(())
}

fn has(env: &[CString], prefix: &[u8]) -> bool {
    env.iter().any(|e| e.as_bytes().starts_with(prefix) && e.as_bytes().len() > prefix.len())
}

/// `HOME` from the container's own /etc/passwd, which may be anything: bounded, regular, never waited for.
fn home_of(uid: u32) -> CString {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let text = rustix::fs::open("/etc/passwd", flags, Mode::empty()).ok().and_then(|fd| {
        let stat = rustix::fs::fstat(&fd).ok()?;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let mut text = Vec::new();
        regular.then(|| File::from(fd).take(1 << 20).read_to_end(&mut text).ok())??;
        Some(text)
    });
    let wanted = uid.to_string();
    let home = text.as_deref().unwrap_or_default().split(|b| *b == b'\n').find_map(|line| {
        let mut fields = line.split(|b| *b == b':');
        (fields.nth(2)? == wanted.as_bytes()).then(|| fields.nth(2).map(<[u8]>::to_vec))?
    });
    let home = home.filter(|h| !h.is_empty()).unwrap_or_else(|| b"/".to_vec());
    CString::new([b"HOME=", home.as_slice()].concat()).unwrap_or_else(|_| c"HOME=/".to_owned())
}

/// As Go's exec.LookPath says it: Docker and the shim decide exit codes by these texts.
fn find_program(name: &CStr, env: &[CString]) -> Step<CString> {
    let text = name.to_string_lossy();
    let failed = |why: &str| Err(StepError::plain(format!("exec: {text:?}: {why}")));
    if name.to_bytes().contains(&b'/') {
        return match executable(name) {
            Ok(()) => Ok(name.to_owned()),
            Err(Errno::EACCES) => failed("permission denied"),
            Err(e) => failed(&format!("stat {text}: {}", crate::error::errno_text(e))),
        };
    }
    let path = env.iter().find_map(|e| e.as_bytes().strip_prefix(b"PATH=")).unwrap_or_default();
    let mut denied = false;
    for dir in path.split(|b| *b == b':') {
        let dir = if dir.is_empty() { b"." } else { dir };
        let Ok(candidate) = CString::new([dir, b"/", name.to_bytes()].concat()) else { continue };
        match executable(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Errno::EACCES) => denied = true,
            Err(_) => {}
        }
    }
    if denied { failed("permission denied") } else { failed("executable file not found in $PATH") }
}

fn executable(path: &CStr) -> nix::Result<()> {
    let stat = nix::sys::stat::stat(path)?;
    if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
        return Err(Errno::EACCES);
    }
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK)
}

/// Waits for `start`. The pipe has never had a writer, so there is no end to be read before that.
pub(crate) fn wait_for_start(pipe: BorrowedFd<'_>) -> Step<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    loop {
        let mut fds = [PollFd::from_borrowed_fd(pipe.as_fd(), PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(e) => return Err(e).step(|| "wait for start"),
        }
        let mut word = [0u8; 1];
        match rustix::io::read(pipe, &mut word) {
            // A writer that came and went without a word is no start.
            Ok(0) => return Err(StepError::plain("the start pipe was closed without a start")),
            Ok(_) => return Ok(()),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e).step(|| "wait for start"),
        }
    }
}

/// What an exec's failure looks like to whoever waits for the exit code.
pub(crate) fn exit_code(error: &StepError) -> i32 {
    match error.errno {
        Some(Errno::ENOENT) => 127,
        Some(Errno::EACCES | Errno::ENOEXEC) => 126,
        _ => 255,
    }
}
