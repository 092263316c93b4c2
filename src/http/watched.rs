//! Files that are looked at every few seconds, and what was made of them: new ones are used from then on, and those that
//! cannot be used leave the older in place. What is wrong with them is told once. Never writes a file.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::tls::TlsError;

/// How often the files are looked at.
const PERIOD: Duration = Duration::from_secs(2);

/// A file and the configuration key that names it.
pub(super) type Named = (&'static str, PathBuf);

/// Makes something of what the files hold, in their order.
type Make<T> = Box<dyn Fn(&[Vec<u8>]) -> Result<T, TlsError> + Send>;

/// What was made of files, and when it has to be made anew.
pub(super) struct Watched<T> {
    files: Vec<Named>,
    make: Make<T>,
    current: Current<T>,
    /// What tells the files in use from others.
    digest: [u8; 32],
    /// What was found wrong last.
    refused: Option<[u8; 32]>,
}

/// The newest that could be used. Clones share it.
pub(super) struct Current<T>(Arc<RwLock<Arc<T>>>);

impl<T> Clone for Current<T> {
    fn clone(&self) -> Self {
        Current(Arc::clone(&self.0))
    }
}

impl<T> Current<T> {
    pub(super) fn load(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What a look at the files came to.
pub(super) enum Look {
    Same,
    Taken,
    Refused(TlsError),
}

impl<T> Watched<T> {
    /// Reads the files. Fails when they cannot be used.
    pub(super) fn open(
        files: Vec<Named>,
        make: impl Fn(&[Vec<u8>]) -> Result<T, TlsError> + Send + 'static,
    ) -> Result<Self, TlsError> {
        let read = read(&files)?;
        let (made, digest) = (make(&read)?, digest(&read));
        let current = Current(Arc::new(RwLock::new(Arc::new(made))));
        Ok(Watched { files, make: Box::new(make), current, digest, refused: None })
    }

    pub(super) fn current(&self) -> Current<T> {
        self.current.clone()
    }

    /// Looks at the files from time to time, for ever, and says what came of it.
    pub(super) async fn watch(mut self, mut told: impl FnMut(Look)) {
        let mut ticks = tokio::time::interval(PERIOD);
        loop {
            ticks.tick().await;
            match self.look() {
                Look::Same => {}
                look => told(look),
            }
        }
    }

    /// Takes the files if they are new and can be used.
    fn look(&mut self) -> Look {
        let (digest, made) = match read(&self.files) {
            Ok(files) => {
                let digest = digest(&files);
                if digest == self.digest {
                    self.refused = None;
                    return Look::Same;
                }
                (digest, if self.refused == Some(digest) { None } else { Some((self.make)(&files)) })
            }
            Err(error) => ([0; 32], (self.refused != Some([0; 32])).then_some(Err(error))),
        };
        match made {
            None => Look::Same,
            Some(Ok(made)) => {
                *self.current.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
                (self.digest, self.refused) = (digest, None);
                Look::Taken
            }
            Some(Err(error)) => {
                self.refused = Some(digest);
                Look::Refused(error)
            }
        }
    }
}

fn read(files: &[Named]) -> Result<Vec<Vec<u8>>, TlsError> {
    let read = |(key, path): &Named| {
        std::fs::read(path).map_err(|source| TlsError::Unreadable { key, path: path.clone(), source })
    };
    files.iter().map(read).collect()
}

fn digest(files: &[Vec<u8>]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    files.iter().for_each(|file| hasher.update(Sha256::digest(file)));
    hasher.finalize().into()
}
