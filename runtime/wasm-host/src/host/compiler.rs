//! Compiling with a deadline. It cannot be interrupted, and so it has a thread of its own: whoever waits for it goes on when the
//! time is up, and the thread ends when it is done. What it has made by then is there for the next who wants it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use tidegate_engine::hook::Abi;

use crate::base::limits::LATE_COMPILATIONS;
use crate::extension::code::Code;
use crate::extension::load_error::LoadError;

/// The result of a thread.
type Compiled = Result<Code, LoadError>;

/// Compiles modules, each on a thread of its own.
pub(crate) struct Compiler {
    limit: Duration,
    /// The compilations that nobody waits for any more.
    late: Mutex<Vec<Compilation>>,
}

/// A module that is being compiled.
struct Compilation {
    module: Arc<[u8]>,
    abi: Abi,
    thread: JoinHandle<()>,
    done: Receiver<Compiled>,
}

impl Compiler {
    /// A compiler that is waited for no longer than this.
    pub(crate) const fn new(limit: Duration) -> Self {
        Self { limit, late: Mutex::new(Vec::new()) }
    }

    /// Has `compile` done, or waits for the same module that was late before.
    pub(crate) fn run(
        &self,
        (module, abi): (&Arc<[u8]>, Abi),
        compile: impl FnOnce() -> Compiled + Send + 'static,
    ) -> Compiled {
        let compilation = match self.take(module, abi)? {
            Some(compilation) => compilation,
            None => Compilation::start(Arc::clone(module), abi, compile)?,
        };
        match compilation.done.recv_timeout(self.limit) {
            Ok(compiled) => compiled,
            Err(RecvTimeoutError::Timeout) => {
                self.late.lock().unwrap_or_else(PoisonError::into_inner).push(compilation);
                Err(LoadError::Late(self.limit))
            }
            Err(RecvTimeoutError::Disconnected) => Err(LoadError::Compile("the compiler failed".to_owned())),
        }
    }

    /// The compilation of this module that was late before; what others have made meanwhile is let go.
    fn take(&self, module: &Arc<[u8]>, abi: Abi) -> Result<Option<Compilation>, LoadError> {
        let mut late = self.late.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = late.iter().position(|of| of.abi == abi && of.module == *module) {
            return Ok(Some(late.swap_remove(at)));
        }
        late.retain(|of| !of.thread.is_finished());
        if late.len() < LATE_COMPILATIONS { Ok(None) } else { Err(LoadError::Crowded(late.len())) }
    }
}

impl Compilation {
    fn start(
        module: Arc<[u8]>,
        abi: Abi,
        compile: impl FnOnce() -> Compiled + Send + 'static,
    ) -> Result<Self, LoadError> {
        let (sender, done) = channel();
        // Nobody listens if somebody else's module came meanwhile.
        let work = move || drop(sender.send(compile()));
        let thread = Builder::new().name("compiler".to_owned()).spawn(work);
        let thread = thread.map_err(|error| LoadError::Compile(format!("no thread for the compiler: {error}")))?;
        Ok(Self { module, abi, thread, done })
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, clippy::panic, reason = "tests")]
mod tests {
    use std::sync::mpsc::Sender;

    use super::*;

    /// The end of a compilation, which a test gives.
    fn ends() -> (Sender<()>, impl FnOnce() -> Compiled + Send + 'static) {
        let (end, ended) = channel::<()>();
        let compile = move || {
            let _ = ended.recv();
            Err(LoadError::Compile("done".to_owned()))
        };
        (end, compile)
    }

    fn said(compiled: Compiled) -> LoadError {
        compiled.map(drop).unwrap_err()
    }

    #[test]
    fn a_late_module_is_refused_and_taken_up_again() {
        let limit = Duration::from_millis(20);
        let mut compiler = Compiler::new(limit);
        let module: Arc<[u8]> = Arc::from(&b"module"[..]);
        let what = (&module, Abi::Tidegate);
        let (end, compile) = ends();
        assert_eq!(said(compiler.run(what, compile)), LoadError::Late(limit));
        assert_eq!(said(compiler.run(what, || unreachable!("it is compiled already"))), LoadError::Late(limit));
        assert_eq!(compiler.late.lock().unwrap().len(), 1);
        compiler.limit = Duration::from_secs(60);
        drop(end);
        let compiled = compiler.run(what, || unreachable!("it is compiled already"));
        assert_eq!(said(compiled), LoadError::Compile("done".to_owned()));
        assert!(compiler.late.lock().unwrap().is_empty());
        let compiled = compiler.run(what, || Err(LoadError::Compile("anew".to_owned())));
        assert_eq!(said(compiled), LoadError::Compile("anew".to_owned()));
        let other = compiler.run((&module, Abi::HttpWasm), || panic!("a mistake of the compiler's"));
        assert_eq!(said(other), LoadError::Compile("the compiler failed".to_owned()));
    }

    #[test]
    fn so_many_are_late_and_no_more() {
        let compiler = Compiler::new(Duration::from_millis(20));
        let module = |n: usize| -> Arc<[u8]> { Arc::from(n.to_le_bytes()) };
        let mut open = Vec::new();
        for n in 0..LATE_COMPILATIONS {
            let (end, compile) = ends();
            assert!(matches!(said(compiler.run((&module(n), Abi::Tidegate), compile)), LoadError::Late(_)));
            open.push(end);
        }
        let next = module(LATE_COMPILATIONS);
        let refused = compiler.run((&next, Abi::Tidegate), || unreachable!("there is no room"));
        assert_eq!(said(refused), LoadError::Crowded(LATE_COMPILATIONS));
        // Whoever is done makes room.
        drop(open.pop());
        let begun = std::time::Instant::now();
        while matches!(
            said(compiler.run((&next, Abi::Tidegate), || Err(LoadError::Compile("done".to_owned())))),
            LoadError::Crowded(_)
        ) {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::yield_now();
        }
    }
}
