//! The terminal: raw while attached, given back as it was.

use std::io::IsTerminal;

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use crate::error::Failure;

/// Raw until dropped.
pub(crate) struct Raw(Option<Termios>);

impl Raw {
    /// Nothing happens if standard input is no terminal.
    pub(crate) fn enter() -> Self {
        let stdin = std::io::stdin();
        let Ok(before) = tcgetattr(&stdin) else { return Self(None) };
        let mut raw = before.clone();
        raw.make_raw();
        let entered = tcsetattr(&stdin, OptionalActions::Now, &raw).is_ok();
        Self(entered.then_some(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(std::io::stdin(), OptionalActions::Drain, before);
        }
    }
}

/// Height and width of the terminal on standard output.
pub(crate) fn size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some((size.ws_row, size.ws_col))
}

/// A container with a terminal whose input is attached needs one on this side.
pub(crate) fn check(stdin: bool, tty: bool) -> anyhow::Result<()> {
    if stdin && tty && !std::io::stdin().is_terminal() {
        return Err(Failure::new(1, "the input device is not a TTY").into());
    }
    Ok(())
}
