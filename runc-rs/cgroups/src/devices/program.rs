//! A policy as eBPF instructions for `BPF_PROG_TYPE_CGROUP_DEVICE`. Pure.
//!
//! The context is three words: access << 16 | type, major, minor. Returning 1 allows. Exceptions are grouped
//! by kind, so that a block device skips all character rules at once.

use super::policy::{Exception, Kind, Policy};

/// One instruction, laid out as the kernel's `struct bpf_insn` (registers in one byte, destination low).
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Insn {
    pub(crate) code: u8,
    pub(crate) regs: u8,
    pub(crate) off: i16,
    pub(crate) imm: i32,
}

pub(crate) const LDX_W: u8 = 0x61;
pub(crate) const MOV32_K: u8 = 0xb4;
pub(crate) const MOV32_X: u8 = 0xbc;
pub(crate) const AND32_K: u8 = 0x54;
pub(crate) const RSH32_K: u8 = 0x74;
pub(crate) const JNE32_K: u8 = 0x56;
pub(crate) const JEQ32_K: u8 = 0x16;
pub(crate) const EXIT: u8 = 0x95;

/// `BPF_DEVCG_DEV_BLOCK` and `_CHAR`.
const BLOCK: i32 = 1;
const CHAR: i32 = 2;
const EVERY_ACCESS: u8 = 7;

// R0 answer, R1 context, R2 type, R3 access, R4 major, R5 minor, R6 scratch.
fn insn(code: u8, dst: u8, src: u8, off: i16, imm: i32) -> Insn {
    Insn { code, regs: src << 4 | dst, off, imm }
}

/// The program. Its length grows by two to four instructions an exception.
pub(crate) fn compile(policy: &Policy) -> Vec<Insn> {
    let mut out = vec![
        // An exception that matches just leaves; only the end sets the other answer.
        insn(MOV32_K, 0, 0, 0, i32::from(!policy.default_allow)),
        insn(LDX_W, 3, 1, 0, 0),
        insn(MOV32_X, 2, 3, 0, 0),
        insn(AND32_K, 2, 0, 0, 0xffff),
        insn(RSH32_K, 3, 0, 0, 16),
        insn(LDX_W, 4, 1, 4, 0),
        insn(LDX_W, 5, 1, 8, 0),
    ];
    for (kind, number) in [(Kind::Char, CHAR), (Kind::Block, BLOCK)] {
        let mut body = Vec::new();
        for exception in policy.exceptions.iter().filter(|e| e.kind == kind) {
            body.extend(exception_code(exception, policy.default_allow));
        }
        if !body.is_empty() {
            out.push(insn(JNE32_K, 2, 0, body.len() as i16, number));
            out.extend(body);
        }
    }
    out.push(insn(MOV32_K, 0, 0, 0, i32::from(policy.default_allow)));
    out.push(insn(EXIT, 0, 0, 0, 0));
    out
}

/// Tests in which failing means "not this one", then the way out.
///
/// An exception that allows must cover all of the access asked for, one that denies any part of it.
fn exception_code(e: &Exception, default_allow: bool) -> Vec<Insn> {
    let mut tests = Vec::new();
    if let Some(major) = e.major {
        tests.push(insn(JNE32_K, 4, 0, 0, major as i32));
    }
    if let Some(minor) = e.minor {
        tests.push(insn(JNE32_K, 5, 0, 0, minor as i32));
    }
    if default_allow {
        if e.access != EVERY_ACCESS {
            tests.push(insn(MOV32_X, 6, 3, 0, 0));
            tests.push(insn(AND32_K, 6, 0, 0, i32::from(e.access)));
            tests.push(insn(JEQ32_K, 6, 0, 0, 0));
        }
    } else if e.access != EVERY_ACCESS {
        tests.push(insn(MOV32_X, 6, 3, 0, 0));
        tests.push(insn(AND32_K, 6, 0, 0, i32::from(EVERY_ACCESS & !e.access)));
        tests.push(insn(JNE32_K, 6, 0, 0, 0));
    }
    let total = tests.len() + 1;
    for (at, test) in tests.iter_mut().enumerate() {
        if matches!(test.code, JNE32_K | JEQ32_K) {
            test.off = (total - at - 1) as i16;
        }
    }
    tests.push(insn(EXIT, 0, 0, 0, 0));
    tests
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::default_device_rules;
    use crate::devices::policy::{MKNOD, READ, WRITE};

    /// Runs a program as the kernel would, on (type, access, major, minor).
    fn run(program: &[Insn], kind: i32, access: u8, major: u32, minor: u32) -> bool {
        let context = [u32::from(access) << 16 | kind as u32, major, minor];
        let mut reg = [0u32; 8];
        let mut pc = 0usize;
        loop {
            let i = program[pc];
            let (dst, src) = (usize::from(i.regs & 15), usize::from(i.regs >> 4));
            pc += 1;
            let jump = match i.code {
                LDX_W => {
                    reg[dst] = context[i.off as usize / 4];
                    false
                }
                MOV32_K => {
                    reg[dst] = i.imm as u32;
                    false
                }
                MOV32_X => {
                    reg[dst] = reg[src];
                    false
                }
                AND32_K => {
                    reg[dst] &= i.imm as u32;
                    false
                }
                RSH32_K => {
                    reg[dst] >>= i.imm;
                    false
                }
                JNE32_K => reg[dst] != i.imm as u32,
                JEQ32_K => reg[dst] == i.imm as u32,
                EXIT => return reg[0] == 1,
                other => panic!("unknown instruction {other:#x}"),
            };
            if jump {
                pc += i.off as usize;
            }
        }
    }

    #[test]
    fn the_defaults_let_null_be_used_and_a_disk_only_be_made() {
        let program = compile(&Policy::from_rules(&default_device_rules()).unwrap());
        assert!(run(&program, CHAR, READ | WRITE, 1, 3));
        assert!(run(&program, CHAR, READ, 136, 77));
        assert!(run(&program, BLOCK, MKNOD, 8, 0));
        assert!(!run(&program, BLOCK, READ, 8, 0));
        assert!(!run(&program, CHAR, READ, 1, 1), "kmem");
        assert!(program.len() <= 45, "{} instructions", program.len());
    }

    #[test]
    fn allow_by_default_denies_any_overlap_with_an_exception() {
        let rules = serde_json::from_str::<Vec<_>>(
            r#"[{"allow":true,"access":"rwm"},{"allow":false,"type":"b","major":8,"access":"w"}]"#,
        );
        let program = compile(&Policy::from_rules(&rules.unwrap()).unwrap());
        assert!(run(&program, BLOCK, READ, 8, 1));
        assert!(!run(&program, BLOCK, READ | WRITE, 8, 1));
        assert!(run(&program, BLOCK, WRITE, 9, 1));
        assert!(run(&program, CHAR, WRITE, 8, 1));
    }

    #[test]
    fn nothing_allowed_needs_no_test() {
        let program = compile(&Policy::default());
        assert!(!run(&program, CHAR, READ, 1, 3));
        assert_eq!(program.len(), 9);
    }
}
