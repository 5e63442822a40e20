#![allow(unsafe_code, reason = "a filter is loaded in a forked child, which must leave by _exit")]

use oci_spec::runtime::LinuxSeccomp;

use super::arch::{Arch, X32_BIT};
use super::emit::{AND, JA, JEQ, JGE, JGT, LD_ABS, RET};
use super::{Program, SeccompError};

const ALLOW: u32 = 0x7fff_0000;
const EPERM: u32 = 0x5_0001;
const ENOSYS: u32 = 0x5_0000 | 38;
const KILL: u32 = 0;

fn compile(json: &str) -> Result<Program, SeccompError> {
    Program::compile_for(&serde_json::from_str::<LinuxSeccomp>(json).unwrap(), Arch::X86_64)
}

/// What the kernel would answer.
fn run(program: &Program, arch: Arch, number: u32, args: [u64; 6]) -> u32 {
    let mut data = [0u32; 16];
    data[0] = number;
    data[1] = arch.audit();
    for (i, arg) in args.iter().enumerate() {
        data[4 + 2 * i] = *arg as u32;
        data[5 + 2 * i] = (*arg >> 32) as u32;
    }
    let insns: Vec<(u16, usize, usize, u32)> = program
        .bytes
        .chunks(8)
        .map(|b| {
            let k = u32::from_ne_bytes([b[4], b[5], b[6], b[7]]);
            (u16::from_ne_bytes([b[0], b[1]]), usize::from(b[2]), usize::from(b[3]), k)
        })
        .collect();
    let (mut a, mut pc) = (0u32, 0usize);
    loop {
        let (code, jt, jf, k) = insns[pc];
        pc += 1;
        let mut branch = |yes: bool| pc += if yes { jt } else { jf };
        match code {
            LD_ABS => a = data[k as usize / 4],
            AND => a &= k,
            JEQ => branch(a == k),
            JGT => branch(a > k),
            JGE => branch(a >= k),
            JA => pc += k as usize,
            RET => return k,
            other => panic!("unknown instruction {other:#x}"),
        }
    }
}

fn call(program: &Program, arch: Arch, name: &str, args: [u64; 6]) -> u32 {
    let bit = if arch == Arch::X32 { X32_BIT } else { 0 };
    run(program, arch, arch.number(name).unwrap() | bit, args)
}

const NONE: [u64; 6] = [0; 6];

#[test]
fn each_architecture_has_its_own_numbers() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32","SCMP_ARCH_MIPS"],
        "syscalls":[{"names":["read","openat","no_such_call_at_all","file_setattr"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let program = compile(json).unwrap();
    for arch in [Arch::X86_64, Arch::X86, Arch::X32] {
        assert_eq!(call(&program, arch, "read", NONE), ALLOW, "{arch:?}");
        assert_eq!(call(&program, arch, "openat", NONE), ALLOW, "{arch:?}");
        assert_eq!(call(&program, arch, "mount", NONE), EPERM, "{arch:?}");
    }
    assert_eq!(run(&program, Arch::Aarch64, 63, NONE), KILL, "an architecture that was not asked for");
}

#[test]
fn x32_calls_are_killed_unless_the_profile_has_x32() {
    let program = compile(
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mount"],"action":"SCMP_ACT_ERRNO"}]}"#,
    )
    .unwrap();
    assert_eq!(run(&program, Arch::X86_64, X32_BIT, NONE), KILL);
    assert_eq!(run(&program, Arch::X86_64, u32::MAX, NONE), ALLOW, "a call that a tracer skips");
    assert_eq!(run(&program, Arch::X86, 3, NONE), KILL);
}

#[test]
fn numbers_above_the_profile_answer_enosys_so_that_libraries_fall_back() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["read","clone3"],"action":"SCMP_ACT_ALLOW"}]}"#;
    let program = compile(json).unwrap();
    assert_eq!(call(&program, Arch::X86_64, "faccessat2", NONE), ENOSYS);
    assert_eq!(call(&program, Arch::X86_64, "openat2", NONE), ENOSYS);
    assert_eq!(call(&program, Arch::X86_64, "mount", NONE), EPERM);
    let open = compile(&json.replace("\"SCMP_ACT_ERRNO\"", "\"SCMP_ACT_LOG\"")).unwrap();
    assert_eq!(call(&open, Arch::X86_64, "faccessat2", NONE), 0x7ffc_0000, "a permissive default stays");
    let own =
        compile(&json.replace("\"SCMP_ACT_ERRNO\"", "\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38")).unwrap();
    assert_eq!(call(&own, Arch::X86_64, "mount", NONE), ENOSYS);
}

#[test]
fn every_action_has_the_kernels_value() {
    let actions = [
        ("SCMP_ACT_KILL", KILL),
        ("SCMP_ACT_KILL_THREAD", KILL),
        ("SCMP_ACT_KILL_PROCESS", 0x8000_0000),
        ("SCMP_ACT_TRAP", 0x3_0000),
        ("SCMP_ACT_TRACE", 0x7ff0_0005),
        ("SCMP_ACT_ERRNO", 0x5_0005),
        ("SCMP_ACT_LOG", 0x7ffc_0000),
        ("SCMP_ACT_NOTIFY", 0x7fc0_0000),
    ];
    for (action, value) in actions {
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{{"names":["mount"],"action":"{action}","errnoRet":5}}]}}"#
        );
        let program = compile(&json).unwrap();
        assert_eq!(call(&program, Arch::X86_64, "mount", NONE), value, "{action}");
        assert_eq!(program.flags & 8 != 0, action == "SCMP_ACT_NOTIFY");
    }
}

#[test]
fn comparisons_see_all_64_bits() {
    let big = 0x1_0000_0005u64;
    let cases: [(&str, &[(u64, bool)]); 6] = [
        ("EQ", &[(big, true), (5, false), (big + 1, false)]),
        ("NE", &[(big, false), (5, true), (big + 1, true)]),
        ("LT", &[(big, false), (big - 1, true), (5, true), (0x2_0000_0000, false)]),
        ("LE", &[(big, true), (big + 1, false), (6, true), (0x2_0000_0000, false)]),
        ("GT", &[(big, false), (big + 1, true), (6, false), (0x2_0000_0000, true)]),
        ("GE", &[(big, true), (big - 1, false), (6, false), (0x2_0000_0000, true)]),
    ];
    for (op, values) in cases {
        let json = format!(
            r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["personality"],"action":"SCMP_ACT_ALLOW",
               "args":[{{"index":3,"value":{big},"op":"SCMP_CMP_{op}"}}]}}]}}"#
        );
        let program = compile(&json).unwrap();
        for (value, holds) in values {
            let got = call(&program, Arch::X86_64, "personality", [0, 0, 0, *value, 0, 0]);
            assert_eq!(got == ALLOW, *holds, "{value:#x} {op}");
        }
    }
}

#[test]
fn a_mask_selects_bits_and_all_comparisons_of_a_rule_must_hold() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["clone"],"action":"SCMP_ACT_ALLOW",
        "args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"},{"index":1,"value":7,"op":"SCMP_CMP_EQ"}]}]}"#;
    let program = compile(json).unwrap();
    let with = |flags, second| call(&program, Arch::X86_64, "clone", [flags, second, 0, 0, 0, 0]);
    assert_eq!(with(0x11, 7), ALLOW);
    assert_eq!(with(0x11, 8), EPERM);
    assert_eq!(with(0x1000_0000, 7), EPERM, "a new user namespace");
}

#[test]
fn two_comparisons_of_one_argument_are_alternatives_as_in_runc() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{"names":["personality"],"action":"SCMP_ACT_ALLOW",
        "args":[{"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":8,"op":"SCMP_CMP_EQ"}]}]}"#;
    let program = compile(json).unwrap();
    let with = |v| call(&program, Arch::X86_64, "personality", [v, 0, 0, 0, 0, 0]);
    assert_eq!((with(0), with(8), with(1)), (ALLOW, ALLOW, EPERM));
}

#[test]
fn a_rule_without_conditions_wins_and_rules_like_the_default_count_for_nothing() {
    let json = r#"{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[
        {"names":["clone"],"action":"SCMP_ACT_ALLOW","args":[{"index":0,"value":1,"op":"SCMP_CMP_EQ"}]},
        {"names":["clone"],"action":"SCMP_ACT_ALLOW"},{"names":["mount"],"action":"SCMP_ACT_ERRNO","errnoRet":1}]}"#;
    let program = compile(json).unwrap();
    assert_eq!(call(&program, Arch::X86_64, "clone", NONE), ALLOW);
    assert_eq!(call(&program, Arch::X86_64, "mount", NONE), EPERM);
}

#[test]
fn i386_reaches_sockets_by_its_packed_call_too() {
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86"],"syscalls":[{"names":["bind"],"action":"SCMP_ACT_ERRNO"}]}"#;
    let program = compile(json).unwrap();
    assert_eq!(call(&program, Arch::X86, "socketcall", [2, 0, 0, 0, 0, 0]), EPERM);
    assert_eq!(call(&program, Arch::X86, "socketcall", [1, 0, 0, 0, 0, 0]), ALLOW);
}

#[test]
fn profiles_that_make_no_sense_are_refused() {
    let bad = [
        r#"{"defaultAction":"SCMP_ACT_NOTIFY"}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["write"],"action":"SCMP_ACT_NOTIFY"}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":[""],"action":"SCMP_ACT_KILL"}]}"#,
        r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_KILL","args":[{"index":6,"value":0,"op":"SCMP_CMP_EQ"}]}]}"#,
    ];
    for json in bad {
        assert!(matches!(compile(json), Err(SeccompError::Invalid(_))), "{json}");
    }
}

#[test]
fn a_profile_of_every_other_call_stays_small_and_right() {
    let names: Vec<&str> = super::numbers::NUMBERS.iter().map(|(n, _)| *n).step_by(2).collect();
    let json = format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","architectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"],"syscalls":[{{"names":{names:?},"action":"SCMP_ACT_ALLOW"}}]}}"#
    );
    let program = compile(&json).unwrap();
    assert!(program.bytes.len() / 8 < 1400, "{} instructions", program.bytes.len() / 8);
    for (at, (name, numbers)) in super::numbers::NUMBERS.iter().enumerate() {
        if numbers[0] >= 0 {
            let got = call(&program, Arch::X86_64, name, NONE);
            assert_eq!(got == ALLOW, at % 2 == 0, "{name}");
        }
    }
}

#[test]
fn the_kernel_takes_the_program_and_obeys_it() {
    let json = r#"{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[
        {"names":["getppid"],"action":"SCMP_ACT_ERRNO","errnoRet":95},
        {"names":["dup"],"action":"SCMP_ACT_ERRNO","errnoRet":96,"args":[{"index":0,"value":4294967297,"op":"SCMP_CMP_GE"}]}]}"#;
    let program = Program::compile(&serde_json::from_str(json).unwrap()).unwrap();
    // SAFETY: the child makes only system calls and leaves by _exit.
    let code = unsafe {
        match libc::fork() {
            0 => {
                let errno = |number, arg: u64| {
                    libc::syscall(number, arg);
                    *libc::__errno_location()
                };
                let loaded = super::load(&program.bytes, program.flags).is_ok();
                let first = errno(libc::SYS_getppid, 0) == 95;
                let second = errno(libc::SYS_dup, 1 << 33) == 96;
                let third = errno(libc::SYS_dup, 9999) == libc::EBADF;
                libc::_exit(if loaded && first && second && third { 42 } else { 1 })
            }
            child => {
                let mut status = 0;
                libc::waitpid(child, &mut status, 0);
                libc::WEXITSTATUS(status)
            }
        }
    };
    assert_eq!(code, 42);
}
