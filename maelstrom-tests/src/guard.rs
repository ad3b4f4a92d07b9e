//! Runs something that may panic, and goes on.
//!
//! Where panics unwind, as in tests, they are caught. In our binaries every panic ends the process,
//! and there is nothing to catch; but the panic hook is called first, and a hook that never returns
//! keeps the process alive: it hands the panic's text to whoever waits, and parks the thread for
//! good. Such a thread costs its stack until the process ends, so whoever starts many has to count.
//! Panics of all other threads go the way they went before.

use std::cell::Cell;
use std::panic::AssertUnwindSafe;
use std::sync::Once;
use std::sync::mpsc::Sender;
use std::{io, panic, thread};

/// How a piece of work ended.
#[derive(Debug)]
pub(crate) enum Ended<T> {
    /// It returned this.
    Returned(T),
    /// It panicked, and said this.
    Panicked(String),
}

type Teller = Box<dyn FnOnce(String)>;

thread_local! {
    /// Whom to tell that this thread has panicked.
    static TELLER: Cell<Option<Teller>> = const { Cell::new(None) };
}

/// Runs `work` on a thread of its own and sends how it ended, marked with `mark`.
///
/// # Errors
/// If the system gives no thread.
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
            let teller = to.clone();
            TELLER.set(Some(Box::new(move |text| {
                // Whoever does not listen any more has heard enough.
                let _ = teller.send((mark, Ended::Panicked(text)));
            })));
            // A panic has been told by the hook when it is caught here. Nothing that it may have
            // left half done is used again.
            if let Ok(returned) = panic::catch_unwind(AssertUnwindSafe(work)) {
                // As above: nobody may listen any more.
                let _ = to.send((mark, Ended::Returned(returned)));
            }
        })?;
    Ok(())
}

fn watch_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| match TELLER.take() {
            Some(tell) => {
                tell(panic.to_string());
                while cfg!(panic = "abort") {
                    thread::park();
                }
            }
            None => before(panic),
        }));
    });
}
