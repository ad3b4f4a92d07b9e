//! After `init`: passes input lines to the event loop.

use std::convert::Infallible;
use std::io::{self, Read};
use std::sync::Arc;

use json::Raw;

use super::init::{Early, is_client, open, read_until};
use crate::front_end::{DropReason, Input, Replies};
use crate::lines::Lines;
use crate::node::address::MAX_NAME;
use crate::requests::Line;
use crate::stdio::clipped;

/// The reader of stdin. It never waits for anything but lines.
#[derive(Debug)]
pub(crate) struct Reader {
    pub(crate) input: Input,
    pub(crate) stdout: Arc<Replies>,
}

impl Reader {
    /// Handles the early lines and then all lines to the end of input.
    pub(crate) fn run<R: Read>(&self, early: Early, lines: &mut Lines<R>) -> io::Result<()> {
        early.into_lines().for_each(|line| self.line(&line));
        let pass = |line: &[u8]| {
            self.line(line);
            None::<Infallible>
        };
        read_until(lines, &self.input.output, pass).map(drop)
    }

    fn line(&self, line: &[u8]) {
        let Some(Line { src, dest, body }) = open(line, &self.input.output) else {
            return;
        };
        if *dest != *self.input.me.name {
            let text = format!("its dest is {:?}, not this node", clipped(&dest));
            return self.input.output.drop_line(DropReason::Misrouted, text);
        }
        let member = self.input.me.book.id(&src);
        let from_client = member.is_none() && is_client(&src);
        if src.len() > MAX_NAME {
            let text = format!("its src is {:?}, a name too long", clipped(&src));
            self.input.output.drop_line(DropReason::UnknownSender, text);
        } else if !from_client && self.input.message(&src, body, line.len()) {
        } else if !from_client && member.is_none() {
            let text = format!("its src is {src:?}, neither a client nor a member");
            self.input.output.drop_line(DropReason::UnknownSender, text);
        } else {
            // Members may send clients' requests, too.
            self.request(&src, &dest, body, line.len(), from_client);
        }
    }

    fn request(&self, src: &str, dest: &str, body: Raw<'_>, bytes: usize, from_client: bool) {
        let output = &self.input.output;
        let body = (body, bytes);
        match self.input.request(&self.stdout, (src, dest), body, None) {
            Ok(()) => {}
            // Two nodes that answered each other's errors would never stop.
            Err(error) if error.in_reply_to.is_none() && !from_client => {
                let text = format_args!("from {src}: {}", error.text);
                output.drop_line(DropReason::Malformed, text);
            }
            Err(error) => output.answer_invalid(&self.stdout, src.into(), dest.into(), error),
        }
    }
}
