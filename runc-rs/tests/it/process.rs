//! What the program is given: capabilities, limits, ids, filters.

use serde_json::{Value, json};

use crate::bundle::Bundle;

const CHOWN: u64 = 1 << 0;
const KILL: u64 = 1 << 5;
const NET_BIND: u64 = 1 << 10;

/// The five sets of a container's program: inheritable, permitted, effective, bounding, ambient.
fn capability_sets(uid: u32, sets: Value) -> [u64; 5] {
    let mut bundle = Bundle::new("cat /proc/self/status");
    bundle.spec["process"]["user"] = json!({"uid": uid, "gid": uid});
    bundle.spec["process"]["capabilities"] = sets;
    // With it, root would gain nothing by the exec.
    bundle.spec["process"]["noNewPrivileges"] = json!(false);
    let text = bundle.output();
    ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"].map(|name| {
        let line = text.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    })
}

#[test]
fn all_five_capability_sets_are_the_specs() {
    let sets = json!({
        "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"], "permitted": ["CAP_CHOWN", "CAP_KILL"],
        "effective": ["CAP_KILL"], "inheritable": ["CAP_CHOWN"], "ambient": ["CAP_CHOWN"]
    });
    let all = CHOWN | KILL | NET_BIND;
    // An exec gives a user what is ambient, and root what the bounding set lets through.
    assert_eq!(capability_sets(1000, sets.clone()), [CHOWN, CHOWN, CHOWN, all, CHOWN]);
    let root = capability_sets(0, sets);
    assert_eq!((root[1], root[2], root[3]), (all, all, all));
    assert_eq!(capability_sets(1000, json!({"bounding": ["CAP_KILL"]})), [0, 0, 0, KILL, 0]);
    assert_eq!(capability_sets(0, json!({})), [0; 5]);
}

#[test]
fn an_unknown_capability_is_left_out_with_a_warning() {
    let mut bundle = Bundle::new("grep CapBnd /proc/self/status");
    bundle.push("/process/capabilities/bounding", json!("CAP_FLY"));
    let answer = bundle.run();
    assert!(answer.code == 0 && answer.stdout.trim().ends_with("0000000000000020"), "{answer:?}");
    assert!(answer.stderr.contains("CAP_FLY"), "{answer:?}");
    let running = Bundle::running();
    let answer = running.exec(&["--cap", "CAP_FLY", running.id(), "true"]);
    let warnings = answer.stderr.matches("unavailable capabilities: [CAP_FLY]").count();
    assert_eq!((answer.code, warnings), (0, 1), "{answer:?}");
}

#[test]
fn exec_gets_the_containers_capabilities_and_those_added() {
    let bundle = Bundle::running();
    let of = |args: &[&str]| {
        let tail = [bundle.id(), "grep", "CapEff", "/proc/self/status"];
        let answer = bundle.exec(&[args, &tail].concat());
        u64::from_str_radix(answer.stdout.trim().rsplit('\t').next().unwrap(), 16).unwrap()
    };
    assert_eq!(of(&[]), KILL);
    assert_eq!(of(&["--cap", "CAP_CHOWN", "--cap", "CAP_NET_BIND_SERVICE"]), KILL | CHOWN | NET_BIND);
    assert_eq!(of(&["--cap", "CAP_FLY"]), KILL);
}

#[test]
fn no_new_privileges_is_on_or_off_as_the_spec_says() {
    for (wanted, shown) in [(true, "1"), (false, "0")] {
        let mut bundle = Bundle::new("grep NoNewPrivs /proc/self/status");
        bundle.spec["process"]["noNewPrivileges"] = json!(wanted);
        assert_eq!(bundle.output().split_whitespace().last(), Some(shown));
    }
    let bundle = Bundle::running();
    let answer = bundle.exec(&["--no-new-privs", bundle.id(), "grep", "NoNewPrivs", "/proc/self/status"]);
    assert_eq!(answer.stdout.split_whitespace().last(), Some("1"));
}

#[test]
fn every_resource_limit_is_set() {
    let limits = [
        ("RLIMIT_CPU", "Max cpu time", 600, 700),
        ("RLIMIT_FSIZE", "Max file size", 1 << 30, 1 << 31),
        ("RLIMIT_DATA", "Max data size", 1 << 30, 1 << 31),
        ("RLIMIT_STACK", "Max stack size", 1 << 20, 1 << 21),
        ("RLIMIT_CORE", "Max core file size", 0, 0),
        ("RLIMIT_RSS", "Max resident set", 1 << 30, 1 << 31),
        ("RLIMIT_NPROC", "Max processes", 500, 600),
        ("RLIMIT_NOFILE", "Max open files", 100, 200),
        ("RLIMIT_MEMLOCK", "Max locked memory", 4096, 8192),
        ("RLIMIT_AS", "Max address space", 1 << 31, 1 << 32),
        ("RLIMIT_LOCKS", "Max file locks", 10, 20),
        ("RLIMIT_SIGPENDING", "Max pending signals", 50, 60),
        ("RLIMIT_MSGQUEUE", "Max msgqueue size", 1000, 2000),
        ("RLIMIT_NICE", "Max nice priority", 0, 0),
        ("RLIMIT_RTPRIO", "Max realtime priority", 0, 0),
        ("RLIMIT_RTTIME", "Max realtime timeout", 1000, 2000),
    ];
    let mut bundle = Bundle::new("cat /proc/self/limits");
    let all = limits
        .map(|(kind, _, soft, hard): (_, _, u64, u64)| json!({"type": kind, "soft": soft, "hard": hard}));
    bundle.spec["process"]["rlimits"] = json!(all);
    let text = bundle.output();
    for (kind, title, soft, hard) in limits {
        let line = text.lines().find(|l| l.starts_with(title)).unwrap();
        let numbers: Vec<&str> = line[title.len()..].split_whitespace().collect();
        assert_eq!(numbers[..2], [soft.to_string(), hard.to_string()], "{kind}: {line}");
    }
}

#[test]
fn the_score_for_the_oom_killer_is_the_specs_also_for_exec() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["process"]["oomScoreAdj"] = json!(321);
    bundle.start_detached();
    let answer = bundle.exec(&[bundle.id(), "cat", "/proc/1/oom_score_adj", "/proc/self/oom_score_adj"]);
    assert_eq!(answer.stdout, "321\n321\n", "{answer:?}");
}

#[test]
fn arguments_and_environment_arrive_as_they_are() {
    let mut bundle = Bundle::new("");
    let script = "for a; do echo \"<$a>\"; done; echo \"<$V>\"";
    bundle.spec["process"]["args"] =
        json!(["sh", "-c", script, "sh", "", " a  b ", "\"q'\\", "ünï\n2", "$HOME", "--", "-x"]);
    bundle.spec["process"]["env"] = json!(["PATH=/bin", "V=x=y z"]);
    assert_eq!(bundle.output(), "<>\n< a  b >\n<\"q'\\>\n<ünï\n2>\n<$HOME>\n<-->\n<-x>\n<x=y z>\n");
}

fn with_seccomp(script: &str, seccomp: Value) -> Bundle {
    let mut bundle = Bundle::new(script);
    bundle.spec["linux"]["seccomp"] = seccomp;
    bundle
}

#[test]
fn seccomp_answers_with_the_error_of_each_rule_and_of_the_default() {
    let seccomp = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            {"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95},
            {"names": ["unlink", "unlinkat", "nosuchcall"], "action": "SCMP_ACT_ERRNO"}
        ]
    });
    let script = "mkdir /tmp/d; touch /tmp/f; rm /tmp/f; echo on";
    let answer = with_seccomp(script, seccomp).run();
    assert_eq!(answer.stdout, "on\n", "{answer:?}");
    assert!(answer.stderr.contains("/tmp/d': Operation not supported"), "{answer:?}");
    assert!(answer.stderr.contains("/tmp/f': Operation not permitted"), "{answer:?}");
}

#[test]
fn seccomp_kills_what_it_shall_kill() {
    let seccomp = |action: &str| {
        json!({"defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{"names": ["mkdir", "mkdirat"], "action": action}]})
    };
    for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD", "SCMP_ACT_KILL_PROCESS"] {
        let answer = with_seccomp("mkdir /tmp/d; echo $?", seccomp(action)).run();
        assert_eq!(answer.stdout, "159\n", "{action}: {answer:?}");
        // The init itself: the signal is the kernel's, which no init is safe from.
        assert_eq!(with_seccomp("exec mkdir /tmp/d", seccomp(action)).run().code, 159, "{action}");
    }
}

#[test]
fn seccomp_looks_at_arguments() {
    // umask(077) is refused, any other is let through.
    let seccomp = json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
        {"names": ["umask"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1,
         "args": [{"index": 0, "value": 0o77, "op": "SCMP_CMP_EQ"}]}]});
    let script =
        "umask 022; umask 077; touch /tmp/f; stat -c %a /tmp/f; umask 027; touch /tmp/g; stat -c %a /tmp/g";
    assert_eq!(with_seccomp(script, seccomp).output(), "644\n640\n");
}

#[test]
fn dockers_default_profile_lets_a_shell_work_and_refuses_what_needs_a_capability() {
    let profile =
        |caps: &[&str]| oci::seccomp_default::profile(&caps.iter().map(|c| (*c).to_owned()).collect());
    for no_new_privileges in [true, false] {
        let script = "echo a | cat | wc -l; mkdir /tmp/d; mount -t tmpfs tmpfs /tmp/d 2>&1 || echo refused";
        for (caps, mounts) in [(&[][..], false), (&["CAP_SYS_ADMIN"], true)] {
            let mut bundle = with_seccomp(script, profile(caps));
            // The capability is there in both: it is the filter that refuses.
            for set in ["bounding", "effective", "permitted"] {
                bundle.push(&format!("/process/capabilities/{set}"), json!("CAP_SYS_ADMIN"));
            }
            bundle.spec["process"]["noNewPrivileges"] = json!(no_new_privileges);
            let text = bundle.output();
            assert!(text.starts_with("1\n") && text.ends_with("refused\n") != mounts, "{caps:?}: {text}");
        }
    }
}

#[test]
fn a_seccomp_document_that_makes_no_sense_is_refused() {
    for seccomp in [
        json!({"defaultAction": "SCMP_ACT_DANCE"}),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_VAX"]}),
        json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_ERRNO",
            "args": [{"index": 9, "value": 1, "op": "SCMP_CMP_EQ"}]}]}),
    ] {
        let bundle = with_seccomp("true", seccomp.clone());
        let answer = bundle.run();
        assert_eq!(answer.code, 1, "{seccomp}: {answer:?}");
        bundle.assert_nothing_left();
    }
}

#[test]
fn the_session_keyring_is_the_containers_own() {
    let own = std::fs::read_to_string("/proc/keys").unwrap_or_default();
    let bundle = Bundle::new("cat /proc/keys");
    assert!(bundle.output().contains(&format!("_ses.{}", bundle.id())));
    assert!(!own.contains(bundle.id()));
}

/// Of the runtime spec 1.1, which runc 1.1 does not read.
mod ours_alone {
    use serde_json::json;

    use crate::bundle::Bundle;

    #[test]
    fn scheduler_and_io_priority_are_the_specs() {
        let mut bundle = Bundle::new("cut -d' ' -f41 /proc/self/stat; ionice -p $$");
        bundle.spec["process"]["scheduler"] = json!({"policy": "SCHED_BATCH", "nice": 3});
        bundle.spec["process"]["ioPriority"] = json!({"class": "IOPRIO_CLASS_BE", "priority": 6});
        assert_eq!(bundle.output(), "3\nbest-effort: prio 6\n");
    }

    #[test]
    fn the_linux32_personality_shows_a_32_bit_machine() {
        let mut bundle = Bundle::new("uname -m");
        bundle.spec["linux"]["personality"] = json!({"domain": "LINUX32"});
        assert_eq!(bundle.output(), "i686\n");
    }
}
