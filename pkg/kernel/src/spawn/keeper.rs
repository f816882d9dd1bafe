//! A thread that lasts as long as the process. A death signal comes when the *thread* that made the child ends
//! (prctl(2), PR_SET_PDEATHSIG), and a runtime's threads come and go. Must do nothing but start processes.

use std::sync::{
    Mutex, OnceLock,
    mpsc::{Sender, channel, sync_channel},
};

use crate::error::{Error, Result};

type Job = Box<dyn FnOnce() + Send>;

static KEEPER: OnceLock<Mutex<Sender<Job>>> = OnceLock::new();

/// Runs `job` on the lasting thread and waits for its result.
pub(super) fn on_lasting_thread<T: Send>(job: impl FnOnce() -> T + Send) -> Result<T> {
    let (answer, result) = sync_channel(1);
    let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || drop(answer.send(job())));
    // SAFETY: the job borrows from the caller, which waits below until the job has run or was dropped unrun: in both
    // cases the sending half is gone before this function returns.
    let job: Job = unsafe { std::mem::transmute::<Box<dyn FnOnce() + Send + '_>, Job>(job) };
    let unsent = keeper().lock().unwrap_or_else(|poisoned| poisoned.into_inner()).send(job).is_err();
    let gone = || Error::new("spawn from", "lasting thread", std::io::Error::other("it ended"));
    if unsent {
        return Err(gone());
    }
    result.recv().map_err(|_| gone())
}

fn keeper() -> &'static Mutex<Sender<Job>> {
    KEEPER.get_or_init(|| {
        let (jobs, inbox) = channel::<Job>();
        // When the thread cannot start, the inbox is dropped and every send reports it.
        let started = std::thread::Builder::new().name("spawn".into()).stack_size(256 * 1024).spawn(move || {
            while let Ok(job) = inbox.recv() {
                job();
            }
        });
        if let Err(error) = started {
            tracing::error!(%error, "start lasting thread");
        }
        Mutex::new(jobs)
    })
}
