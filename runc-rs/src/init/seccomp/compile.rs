//! A profile to what each number answers, per architecture. Pure; [`super::emit`] makes it a program.
//!
//! Where a call has rules with conditions and one without, the one without counts, as in libseccomp. Of
//! several rules with conditions the first that holds decides.

use std::collections::BTreeMap;

use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction, LinuxSeccompArg, LinuxSeccompOperator, LinuxSyscall,
};

use super::SeccompError;
use super::arch::{Arch, X32_BIT};

/// `SECCOMP_RET_*` with its data.
pub(crate) type Answer = u32;

pub(crate) const RET_KILL_THREAD: Answer = 0;
pub(crate) const RET_ERRNO: Answer = 0x5_0000;
const ENOSYS: u32 = libc::ENOSYS as u32;

/// A comparison of an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Comparison {
    pub(crate) index: u32,
    pub(crate) op: Op,
    pub(crate) value: u64,
    /// Of [`Op::MaskedEqual`].
    pub(crate) mask: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Op {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    MaskedEqual,
}

/// All of `all` hold: then `answer`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conditional {
    pub(crate) all: Vec<Comparison>,
    pub(crate) answer: Answer,
}

/// What a number answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    Always(Answer),
    /// The first that holds, else the default.
    When(Vec<Conditional>, Answer),
}

/// From `start` to the next range's start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) start: u32,
    pub(crate) verdict: Verdict,
}

/// The filter of one audit value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) audit: u32,
    pub(crate) narrow: bool,
    /// Ascending, the first at 0.
    pub(crate) ranges: Vec<Range>,
}

/// Everything; an audit value without a table is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Filters {
    pub(crate) tables: Vec<Table>,
    pub(crate) notifies: bool,
}

pub(crate) fn filters(profile: &LinuxSeccomp, native: Arch) -> Result<Filters, SeccompError> {
    let default = profile.default_action();
    if default == LinuxSeccompAction::ScmpActNotify {
        return Err(SeccompError::Invalid("SCMP_ACT_NOTIFY cannot be used as default action".into()));
    }
    let default_answer = answer(default, profile.default_errno_ret());
    let rules = profile.syscalls().as_deref().unwrap_or_default();
    check(rules)?;
    let mut archs = vec![native];
    for spec in profile.architectures().iter().flatten() {
        if let Some(arch) = Arch::from_spec(*spec, native)
            && !archs.contains(&arch)
        {
            archs.push(arch);
        }
    }
    let newer = newer_answer(profile, default, default_answer);
    let of = |arch: Arch| numbered(rules, arch, default_answer, newer);
    let mut tables: Vec<Table> = Vec::new();
    for arch in archs.iter().filter(|a| **a != Arch::X32) {
        let mut ranges = of(*arch);
        if *arch == Arch::X86_64 {
            // Above the bit: x32, or nothing that may be called. -1 is what a tracer sets to skip a call.
            let x32 = if archs.contains(&Arch::X32) {
                of(Arch::X32)
            } else {
                vec![Range { start: 0, verdict: Verdict::Always(RET_KILL_THREAD) }]
            };
            ranges.extend(x32.into_iter().map(|r| Range { start: r.start | X32_BIT, ..r }));
            ranges.push(Range { start: u32::MAX, verdict: Verdict::Always(default_answer) });
        }
        ranges.dedup_by(|later, earlier| later.verdict == earlier.verdict);
        tables.push(Table { audit: arch.audit(), narrow: arch.narrow(), ranges });
    }
    let notifies = rules.iter().any(|r| r.action() == LinuxSeccompAction::ScmpActNotify);
    Ok(Filters { tables, notifies })
}

fn check(rules: &[LinuxSyscall]) -> Result<(), SeccompError> {
    for rule in rules {
        if rule.names().iter().any(String::is_empty) {
            return Err(SeccompError::Invalid("empty string is not a valid syscall".into()));
        }
        let notify = rule.action() == LinuxSeccompAction::ScmpActNotify;
        if notify && rule.names().iter().any(|n| n == "write") {
            let text = "SCMP_ACT_NOTIFY cannot be used for the write syscall";
            return Err(SeccompError::Invalid(text.into()));
        }
        if let Some(arg) = rule.args().iter().flatten().find(|a| a.index() > 5) {
            return Err(SeccompError::Invalid(format!("argument index {} is above 5", arg.index())));
        }
    }
    Ok(())
}

fn answer(action: LinuxSeccompAction, errno: Option<u32>) -> Answer {
    action.as_u32(errno.map(|e| e & 0xffff))
}

/// What numbers above the profile's highest answer. A C library tries new calls and falls back on ENOSYS
/// alone; a profile that is older than the library would break it with EPERM.
fn newer_answer(profile: &LinuxSeccomp, default: LinuxSeccompAction, default_answer: Answer) -> Answer {
    use LinuxSeccompAction::{ScmpActAllow, ScmpActLog, ScmpActTrace};
    let permissive = matches!(default, ScmpActAllow | ScmpActLog | ScmpActTrace);
    let own = default == LinuxSeccompAction::ScmpActErrno && profile.default_errno_ret() == Some(ENOSYS);
    if permissive || own { default_answer } else { RET_ERRNO | ENOSYS }
}

fn numbered(rules: &[LinuxSyscall], arch: Arch, default: Answer, newer: Answer) -> Vec<Range> {
    let mut verdicts: BTreeMap<u32, Verdict> = BTreeMap::new();
    let mut highest = None;
    for rule in rules {
        let answer = answer(rule.action(), rule.errno_ret());
        let alternatives = alternatives(rule.args().as_deref().unwrap_or_default());
        for name in rule.names() {
            let number = arch.number(name);
            highest = highest.max(number);
            if answer == default {
                continue;
            }
            if let Some(number) = number {
                add(&mut verdicts, number, &alternatives, answer, default);
            }
            // Arguments of a packed call are in memory, out of reach: only rules without conditions apply.
            if let Some((number, value)) = arch.packed(name)
                && alternatives.is_empty()
            {
                let which = Comparison { index: 0, op: Op::Equal, value, mask: 0 };
                add(&mut verdicts, number, &[vec![which]], answer, default);
            }
        }
    }
    let mut ranges = vec![Range { start: 0, verdict: Verdict::Always(default) }];
    let mut push = |start: u32, verdict: Verdict| {
        let last = ranges.len() - 1;
        if ranges[last].start == start {
            ranges[last].verdict = verdict;
        } else {
            ranges.push(Range { start, verdict });
        }
    };
    for (number, verdict) in verdicts {
        push(number, verdict);
        push(number + 1, Verdict::Always(default));
    }
    if let Some(highest) = highest {
        push(highest + 1, Verdict::Always(newer));
    }
    ranges.dedup_by(|later, earlier| later.verdict == earlier.verdict);
    ranges
}

fn add(
    verdicts: &mut BTreeMap<u32, Verdict>,
    number: u32,
    alternatives: &[Vec<Comparison>],
    answer: Answer,
    default: Answer,
) {
    if alternatives.is_empty() {
        let first = !matches!(verdicts.get(&number), Some(Verdict::Always(_)));
        if first {
            verdicts.insert(number, Verdict::Always(answer));
        }
        return;
    }
    let verdict = verdicts.entry(number).or_insert_with(|| Verdict::When(Vec::new(), default));
    if let Verdict::When(conditions, _) = verdict {
        conditions.extend(alternatives.iter().map(|all| Conditional { all: all.clone(), answer }));
    }
}

/// Comparisons of different arguments must all hold. Two of the same argument can't be said to libseccomp in
/// one rule, so runc makes each of the rule's comparisons a rule of its own.
fn alternatives(args: &[LinuxSeccompArg]) -> Vec<Vec<Comparison>> {
    let all: Vec<Comparison> = args.iter().map(comparison).collect();
    let repeated = (0..6).any(|i| all.iter().filter(|c| c.index == i).count() > 1);
    match (all.is_empty(), repeated) {
        (true, _) => Vec::new(),
        (false, true) => all.into_iter().map(|c| vec![c]).collect(),
        (false, false) => vec![all],
    }
}

fn comparison(arg: &LinuxSeccompArg) -> Comparison {
    let (op, value, mask) = match arg.op() {
        LinuxSeccompOperator::ScmpCmpNe => (Op::NotEqual, arg.value(), 0),
        LinuxSeccompOperator::ScmpCmpLt => (Op::Less, arg.value(), 0),
        LinuxSeccompOperator::ScmpCmpLe => (Op::LessOrEqual, arg.value(), 0),
        LinuxSeccompOperator::ScmpCmpEq => (Op::Equal, arg.value(), 0),
        LinuxSeccompOperator::ScmpCmpGe => (Op::GreaterOrEqual, arg.value(), 0),
        LinuxSeccompOperator::ScmpCmpGt => (Op::Greater, arg.value(), 0),
        // The specification's `value` is the mask here.
        LinuxSeccompOperator::ScmpCmpMaskedEq => {
            (Op::MaskedEqual, arg.value_two().unwrap_or(0) & arg.value(), arg.value())
        }
    };
    Comparison { index: arg.index() as u32, op, value, mask }
}
