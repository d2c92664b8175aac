//! Filters of system calls (seccomp(2)), for the sandboxes of the engine and of its parsers.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

/// The rules of a filter, by system call. A call matches if one of its rules matches, or if it has none.
pub type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// A rule that matches a call if all listed arguments (number, comparison, value) match, each compared in this length.
pub fn rule<const N: usize>(
    length: SeccompCmpArgLen,
    arguments: [(u8, SeccompCmpOp, u64); N],
) -> Result<SeccompRule, String> {
    let conditions = arguments
        .into_iter()
        .map(|(argument, comparison, value)| {
            SeccompCondition::new(argument, length.clone(), comparison, value)
        })
        .collect::<Result<Vec<_>, _>>();
    conditions.and_then(SeccompRule::new).map_err(|error| error.to_string())
}

/// Makes a call fail with this `errno`.
pub fn refusal(error: i32) -> SeccompAction {
    SeccompAction::Errno(error as u32)
}

/// Makes the C library start threads with `clone`, whose flags a filter can read, instead of `clone3`. Call it before a
/// filter that refuses `clone3` otherwise.
pub fn hide_clone3() -> Result<(), String> {
    apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), SeccompAction::Allow, refusal(libc::ENOSYS))
}

/// Filters the calls of this thread and of those that it starts from now on.
pub fn apply(rules: Rules, otherwise: SeccompAction, on_match: SeccompAction) -> Result<(), String> {
    let architecture =
        std::env::consts::ARCH.try_into().map_err(|_| "no filter for this processor".to_owned())?;
    let filter = SeccompFilter::new(rules, otherwise, on_match, architecture);
    let program: BpfProgram = filter.and_then(TryInto::try_into).map_err(|error| error.to_string())?;
    seccompiler::apply_filter(&program).map_err(|error| error.to_string())
}
