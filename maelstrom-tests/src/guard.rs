//! Runs work that may panic, and reports the panic.
//!
//! Where panics unwind, as in tests, they are caught. Our binaries abort on a panic, but the panic
//! hook runs first: it sends the panic's text to the receiver and parks the thread for ever, so
//! that the process survives. Such a thread costs its stack until the process ends; callers must
//! bound the number of panics. Panics of other threads are handled as usual.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Once;
use std::sync::mpsc::Sender;
use std::{io, panic, thread};

/// How the work ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// It returned this value.
    Returned(T),
    /// It panicked with this text.
    Panicked(String),
}

type Reporter = Box<dyn FnOnce(String)>;

thread_local! {
    /// Receives the text of this thread's panic.
    static REPORTER: Cell<Option<Reporter>> = const { Cell::new(None) };
}

/// Runs `work` on a thread of its own and sends how it ended, together with `mark`.
///
/// # Errors
/// If the system cannot start a thread.
pub(crate) fn start<M, T>(
    mark: M,
    to: &Sender<(M, Ended<T>)>,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<()>
where
    M: Copy + Send + 'static,
    T: Send + 'static,
{
    watch_panics();
    let to = to.clone();
    thread::Builder::new()
        .name("guarded".to_owned())
        .spawn(move || {
            let reporter = to.clone();
            REPORTER.set(Some(Box::new(move |text| {
                // The receiver may be gone.
                let _ = reporter.send((mark, Ended::Panicked(text)));
            })));
            // The hook has reported the panic that is caught here. No state that the panic may have
            // left inconsistent is used again.
            if let Ok(returned) = panic::catch_unwind(AssertUnwindSafe(work)) {
                // The receiver may be gone.
                let _ = to.send((mark, Ended::Returned(returned)));
            }
        })?;
    Ok(())
}

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| match REPORTER.take() {
            Some(report) => {
                report(panic.to_string());
                while cfg!(panic = "abort") {
                    thread::park();
                }
            }
            None => before(panic),
        }));
    });
}
