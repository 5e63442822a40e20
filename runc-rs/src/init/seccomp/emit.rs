//! Tables to classic BPF: a balanced tree on the number, so that any call costs some eight comparisons (and
//! the kernel, which runs the filter once per number at load, little).

use super::SeccompError;
use super::compile::{Comparison, Conditional, Filters, Op, RET_KILL_THREAD, Range, Table, Verdict};

/// `struct sock_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Insn {
    pub(crate) code: u16,
    pub(crate) jt: u8,
    pub(crate) jf: u8,
    pub(crate) k: u32,
}

impl Insn {
    /// In this machine's byte order.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        let mut bytes = [0; 8];
        bytes[..2].copy_from_slice(&self.code.to_ne_bytes());
        bytes[2] = self.jt;
        bytes[3] = self.jf;
        bytes[4..].copy_from_slice(&self.k.to_ne_bytes());
        bytes
    }
}

pub(crate) const LD_ABS: u16 = 0x20;
pub(crate) const JA: u16 = 0x05;
pub(crate) const JEQ: u16 = 0x15;
pub(crate) const JGT: u16 = 0x25;
pub(crate) const JGE: u16 = 0x35;
pub(crate) const AND: u16 = 0x54;
pub(crate) const RET: u16 = 0x06;

/// Offsets in `struct seccomp_data`.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;
const ARGS: u32 = 16;

const MAX: usize = 4096;

fn load(offset: u32) -> Insn {
    Insn { code: LD_ABS, jt: 0, jf: 0, k: offset }
}

fn ret(k: u32) -> Insn {
    Insn { code: RET, jt: 0, jf: 0, k }
}

pub(crate) fn program(filters: &Filters) -> Result<Vec<Insn>, SeccompError> {
    let mut out = vec![load(ARCH)];
    for table in &filters.tables {
        let mut body = vec![load(NUMBER)];
        tree(&table.ranges, table, &mut body);
        // Equal: over the jump, into the body.
        out.push(Insn { code: JEQ, jt: 1, jf: 0, k: table.audit });
        out.push(Insn { code: JA, jt: 0, jf: 0, k: body.len() as u32 });
        out.extend(body);
    }
    out.push(ret(RET_KILL_THREAD));
    if out.len() > MAX { Err(SeccompError::TooLong(out.len())) } else { Ok(out) }
}

fn tree(ranges: &[Range], table: &Table, out: &mut Vec<Insn>) {
    if let [one] = ranges {
        return leaf(&one.verdict, table, out);
    }
    let (left, right) = ranges.split_at(ranges.len() / 2);
    let mut below = Vec::new();
    tree(left, table, &mut below);
    let pivot = right[0].start;
    match u8::try_from(below.len()) {
        Ok(jt) => out.push(Insn { code: JGE, jt, jf: 0, k: pivot }),
        Err(_) => {
            out.push(Insn { code: JGE, jt: 0, jf: 1, k: pivot });
            out.push(Insn { code: JA, jt: 0, jf: 0, k: below.len() as u32 });
        }
    }
    out.append(&mut below);
    tree(right, table, out);
}

fn leaf(verdict: &Verdict, table: &Table, out: &mut Vec<Insn>) {
    match verdict {
        Verdict::Always(answer) => out.push(ret(*answer)),
        Verdict::When(conditions, default) => {
            for condition in conditions {
                conditional(condition, table, out);
            }
            out.push(ret(*default));
        }
    }
}

/// A jump's aim within one condition, before it is a distance.
#[derive(Clone, Copy, PartialEq)]
enum Aim {
    Next,
    /// The comparison holds: behind it.
    Holds,
    /// It doesn't: behind the whole condition.
    Fails,
}

fn conditional(condition: &Conditional, table: &Table, out: &mut Vec<Insn>) {
    let blocks: Vec<Vec<(Insn, Aim, Aim)>> = condition.all.iter().map(|c| compare(c, table.narrow)).collect();
    let total: usize = blocks.iter().map(Vec::len).sum::<usize>() + 1;
    let mut at = 0;
    for block in blocks {
        let end = at + block.len();
        for (insn, when_true, when_false) in block {
            // At most 6 comparisons of 6 instructions: distances fit.
            let distance = |aim| match aim {
                Aim::Next => 0,
                Aim::Holds => (end - at - 1) as u8,
                Aim::Fails => (total - at - 1) as u8,
            };
            out.push(Insn { jt: distance(when_true), jf: distance(when_false), ..insn });
            at += 1;
        }
    }
    out.push(ret(condition.answer));
}

fn compare(c: &Comparison, narrow: bool) -> Vec<(Insn, Aim, Aim)> {
    let plain = |insn: Insn| (insn, Aim::Next, Aim::Next);
    let jump = |code, k, t, f| (Insn { code, jt: 0, jf: 0, k }, t, f);
    let and = |k| plain(Insn { code: AND, jt: 0, jf: 0, k });
    let (high, low) = ((c.value >> 32) as u32, c.value as u32);
    // Little-endian halves; every architecture in `arch` is.
    let (load_high, load_low) = (plain(load(ARGS + 8 * c.index + 4)), plain(load(ARGS + 8 * c.index)));
    let mut out = Vec::new();
    if !narrow {
        out.push(load_high);
        match c.op {
            Op::Equal => out.push(jump(JEQ, high, Aim::Next, Aim::Fails)),
            Op::NotEqual => out.push(jump(JEQ, high, Aim::Next, Aim::Holds)),
            Op::MaskedEqual => {
                out.push(and((c.mask >> 32) as u32));
                out.push(jump(JEQ, high, Aim::Next, Aim::Fails));
            }
            Op::Greater | Op::GreaterOrEqual => {
                out.push(jump(JGT, high, Aim::Holds, Aim::Next));
                out.push(jump(JEQ, high, Aim::Next, Aim::Fails));
            }
            Op::Less | Op::LessOrEqual => {
                out.push(jump(JGT, high, Aim::Fails, Aim::Next));
                out.push(jump(JEQ, high, Aim::Next, Aim::Holds));
            }
        }
    }
    out.push(load_low);
    match c.op {
        Op::Equal => out.push(jump(JEQ, low, Aim::Next, Aim::Fails)),
        Op::NotEqual => out.push(jump(JEQ, low, Aim::Fails, Aim::Next)),
        Op::MaskedEqual => {
            out.push(and(c.mask as u32));
            out.push(jump(JEQ, low, Aim::Next, Aim::Fails));
        }
        Op::Greater => out.push(jump(JGT, low, Aim::Next, Aim::Fails)),
        Op::GreaterOrEqual => out.push(jump(JGE, low, Aim::Next, Aim::Fails)),
        Op::Less => out.push(jump(JGE, low, Aim::Fails, Aim::Next)),
        Op::LessOrEqual => out.push(jump(JGT, low, Aim::Fails, Aim::Next)),
    }
    out
}
