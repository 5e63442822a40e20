//! Mounts, devices, masks, credentials: what the program finds.

use serde_json::json;

use crate::bundle::Bundle;

#[test]
fn masked_paths_are_empty_and_readonly_paths_cannot_be_written() {
    let script = "cat /proc/kcore | wc -c; ls /proc/acpi | wc -l; \
                  echo x > /proc/sys/kernel/hostname 2>/dev/null && echo written; true";
    assert_eq!(Bundle::new(script).output(), "0\n0\n");
}

#[test]
fn binds_are_readonly_recursive_and_made_where_missing() {
    let mut bundle = Bundle::new("cat /a/deep/file; echo x > /a/deep/file || echo refused; cat /dir/inner");
    std::fs::create_dir(bundle.dir.join("source")).unwrap();
    std::fs::write(bundle.dir.join("source/inner"), "inner\n").unwrap();
    let inner = bundle.dir.join("source/inner");
    bundle.mount(
        json!({"destination": "/a/deep/file", "type": "bind", "source": inner, "options": ["bind", "ro"]}),
    );
    bundle.mount(json!({"destination": "/dir", "type": "bind", "source": bundle.dir.join("source"), "options": ["rbind"]}));
    assert_eq!(bundle.output(), "inner\nrefused\ninner\n");
}

#[test]
fn a_readonly_root_refuses_writes_but_its_tmpfs_takes_them() {
    let mut bundle = Bundle::new("touch /x 2>/dev/null || echo ro; touch /new/x && stat -c %a /new");
    bundle.spec["root"]["readonly"] = json!(true);
    bundle.mount(json!({"destination": "/new", "type": "tmpfs", "source": "tmpfs", "options": ["mode=1777", "size=1m"]}));
    assert_eq!(bundle.output(), "ro\n1777\n");
}

#[test]
fn devices_are_there_and_only_the_allowed_ones_open() {
    let script = "for d in null zero full random urandom tty; do stat -c '%n %F %a' /dev/$d; done; \
                  readlink /dev/ptmx; readlink /dev/fd; (: < /dev/mine) 2>&1 | grep -c 'not permitted'";
    let mut bundle = Bundle::new(script);
    bundle.spec["linux"]["devices"] =
        json!([{"path": "/dev/mine", "type": "c", "major": 10, "minor": 229, "fileMode": 0o600}]);
    let text = bundle.output();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[..6].iter().all(|l| l.ends_with("character special file 666")), "{text}");
    assert_eq!(lines[6..], ["pts/ptmx", "/proc/self/fd", "1"], "{text}");
}

#[test]
fn limits_ids_groups_umask_and_capabilities_are_the_specs() {
    let script = "id -u; id -g; id -G; umask; ulimit -n; grep -E '^Cap(Inh|Bnd|Amb)' /proc/self/status | cat";
    let mut bundle = Bundle::new(script);
    let process = &mut bundle.spec["process"];
    process["user"] = json!({"uid": 11, "gid": 12, "additionalGids": [13, 14], "umask": 0o77});
    process["rlimits"] = json!([{"type": "RLIMIT_NOFILE", "soft": 100, "hard": 200}]);
    let text = bundle.output();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..5], ["11", "12", "12 13 14", "0077", "100"]);
    assert!(lines[5].ends_with("0000000000000000") && lines[7].ends_with("0000000000000000"), "{text}");
    assert!(lines[6].ends_with("0000000000000020"), "{text}");
}

#[test]
fn a_seccomp_profile_is_obeyed_by_the_container_and_by_exec() {
    let mut bundle = Bundle::new("sleep 1000");
    bundle.spec["linux"]["seccomp"] = json!({
        "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": [{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 95}]
    });
    bundle.start_detached();
    let answer = bundle.exec(&[bundle.id(), "mkdir", "/tmp/d"]);
    assert!(answer.code == 1 && answer.stderr.contains("not supported"), "{answer:?}");
}

#[test]
fn the_working_directory_is_made_and_home_comes_from_passwd() {
    let mut bundle = Bundle::new("pwd; echo $HOME");
    std::fs::write(bundle.rootfs().join("etc/passwd"), "root:x:0:0:root:/home/me:/bin/sh\n").unwrap();
    bundle.spec["process"]["cwd"] = json!("/made/for/you");
    assert_eq!(bundle.output(), "/made/for/you\n/home/me\n");
}
