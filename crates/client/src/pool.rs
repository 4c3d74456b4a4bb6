use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use pegasus_types::NodeId;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use crate::connection::Connection;
use crate::pacing::Deadline;
use crate::{ClientOptions, Error};

/// After a refused connection, callers that come within this time get the same answer without
/// another try, so that a crowd of retrying callers does not become a storm of connects.
const REFUSAL_HOLDS: Duration = Duration::from_millis(20);

/// One connection per server, opened when first needed and again after it ended.
#[derive(Debug)]
pub(crate) struct Pool {
    pub(crate) options: ClientOptions,
    slots: Mutex<HashMap<NodeId, Arc<Slot>>>,
}

#[derive(Debug, Default)]
struct Slot {
    live: RwLock<Option<Arc<Connection>>>,
    /// Held while connecting, so that one caller connects and the others wait for it.
    connecting: tokio::sync::Mutex<Option<(Instant, Error)>>,
}

impl Slot {
    fn live(&self) -> Option<Arc<Connection>> {
        let live = self.live.read().unwrap_or_else(PoisonError::into_inner);
        live.as_ref().filter(|connection| !connection.is_closed()).cloned()
    }

    fn set_live(&self, connection: Option<Arc<Connection>>) {
        *self.live.write().unwrap_or_else(PoisonError::into_inner) = connection;
    }
}

impl Pool {
    pub(crate) fn new(options: ClientOptions) -> Pool {
        Pool { options, slots: Mutex::default() }
    }

    fn slot(&self, server: &NodeId) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get(server) {
            Some(slot) => Arc::clone(slot),
            None => {
                let slot = Arc::new(Slot::default());
                slots.insert(server.clone(), Arc::clone(&slot));
                slot
            }
        }
    }

    /// The open connection to this server, or a new one. An error means nothing was sent.
    pub(crate) async fn get(
        &self,
        server: &NodeId,
        deadline: &Deadline,
    ) -> Result<Arc<Connection>, Error> {
        let slot = self.slot(server);
        if let Some(connection) = slot.live() {
            return Ok(connection);
        }
        let Ok(mut refusal) = timeout_at(deadline.at(), slot.connecting.lock()).await else {
            return Err(deadline.timeout(None));
        };
        if let Some(connection) = slot.live() {
            return Ok(connection);
        }
        if let Some((when, error)) = refusal.as_ref()
            && when.elapsed() < REFUSAL_HOLDS
        {
            return Err(error.clone());
        }
        slot.set_live(None);
        match self.connect(server, deadline).await {
            Ok(connection) => {
                *refusal = None;
                let connection = Arc::new(connection);
                slot.set_live(Some(Arc::clone(&connection)));
                Ok(connection)
            }
            Err(error) => {
                *refusal = Some((Instant::now(), error.clone()));
                Err(error)
            }
        }
    }

    async fn connect(&self, server: &NodeId, deadline: &Deadline) -> Result<Connection, Error> {
        let deadline = deadline.capped(self.options.connect_timeout);
        let unreachable = |reason: String| Error::Unreachable { server: server.clone(), reason };
        let stream = timeout_at(deadline.at(), TcpStream::connect((server.host(), server.port())))
            .await
            .map_err(|_| {
                unreachable(format!("no answer in {} ms", deadline.elapsed().as_millis()))
            })?
            .map_err(|error| unreachable(error.to_string()))?;
        stream.set_nodelay(true).map_err(|error| unreachable(error.to_string()))?;
        Ok(Connection::start(server.clone(), stream, &self.options))
    }
}
