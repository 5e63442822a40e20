//! gRPC status codes, as used by both gRPC and ttrpc (`google.rpc.Code`), and the words of their texts.

/// A status code of gRPC and ttrpc.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs, reason = "the names are gRPC's own")]
pub enum Code {
    Ok = 0,
    Canceled = 1,
    Unknown = 2,
    InvalidArgument = 3,
    DeadlineExceeded = 4,
    NotFound = 5,
    AlreadyExists = 6,
    PermissionDenied = 7,
    ResourceExhausted = 8,
    FailedPrecondition = 9,
    Aborted = 10,
    OutOfRange = 11,
    Unimplemented = 12,
    Internal = 13,
    Unavailable = 14,
    DataLoss = 15,
    Unauthenticated = 16,
}

impl From<i32> for Code {
    /// Unknown numbers become [`Code::Unknown`], as gRPC demands.
    fn from(number: i32) -> Self {
        use Code::*;
        const ALL: [Code; 17] = [
            Ok,
            Canceled,
            Unknown,
            InvalidArgument,
            DeadlineExceeded,
            NotFound,
            AlreadyExists,
            PermissionDenied,
            ResourceExhausted,
            FailedPrecondition,
            Aborted,
            OutOfRange,
            Unimplemented,
            Internal,
            Unavailable,
            DataLoss,
            Unauthenticated,
        ];
        ALL.into_iter().find(|code| *code as i32 == number).unwrap_or(Unknown)
    }
}

/// A text in which the system's errors are told as Go tells them, for clients look for those words: `No space
/// left on device (os error 28)` is `no space left on device`.
pub fn in_gos_words(text: &str) -> String {
    const NUMBER: &str = " (os error ";
    let mut told = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(NUMBER) {
        let start = before.rfind(": ").map_or(0, |at| at + 2);
        let (left, words) = before.split_at(start);
        told.push_str(left);
        let mut letters = words.chars();
        if let Some(first) = letters.next() {
            // Not `RPC struct is bad`.
            let is_name = letters.clone().next().is_some_and(char::is_uppercase);
            if is_name { told.push(first) } else { told.extend(first.to_lowercase()) }
        }
        told.push_str(letters.as_str());
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    told + rest
}

#[cfg(test)]
mod tests {
    use super::in_gos_words;

    #[test]
    fn errors_of_the_system_are_told_as_go_does() {
        for (ours, gos) in [
            ("write x: No space left on device (os error 28)", "write x: no space left on device"),
            ("No such file or directory (os error 2): not found", "no such file or directory: not found"),
            ("Permission denied (os error 13)", "permission denied"),
            ("mount: RPC struct is bad (os error 72)", "mount: RPC struct is bad"),
            ("Nothing of the kind", "Nothing of the kind"),
        ] {
            assert_eq!(in_gos_words(ours), gos);
        }
    }
}
