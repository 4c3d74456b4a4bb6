use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::stream::StreamExt;
use pegasus_protocol::private::{Envelope, PeerRequest, PeerResponse};
use pegasus_replication::Message;
use pegasus_types::{NodeId, PartitionId};
use tarpc::ServerError;
use tarpc::server::{BaseChannel, Channel, serve};
use tokio_util::sync::CancellationToken;

use crate::NetError;
use crate::private::{Accepted, ServerTransport};

/// Take envelopes from one connection and hand their messages to `sink`, strictly in the order in
/// which the peer numbered them, until the connection ends. `sink` must not block; the peer may
/// send more only when it returned.
///
/// Returns `Ok` if the peer closed the connection; [`NetError::Gap`] if an envelope was missing.
/// Either way the caller must treat the traffic from this peer as reset.
pub async fn serve_peer(
    transport: ServerTransport<PeerRequest, PeerResponse>,
    from: NodeId,
    sink: impl Fn(NodeId, Vec<(PartitionId, Message)>),
) -> Result<(), NetError> {
    serve_checked(transport, |messages| {
        sink(from.clone(), messages);
        Ok(())
    })
    .await
}

async fn serve_checked(
    transport: ServerTransport<PeerRequest, PeerResponse>,
    mut sink: impl FnMut(Vec<(PartitionId, Message)>) -> Result<(), NetError>,
) -> Result<(), NetError> {
    let mut requests = std::pin::pin!(BaseChannel::with_defaults(transport).requests());
    let mut expected = 1_u64;
    while let Some(request) = requests.next().await {
        let request = request.map_err(NetError::lost)?;
        let mut outcome = Ok(());
        // Executed to its end before the next request is looked at: tarpc itself promises no order.
        request
            .execute(serve(|_, request| {
                let PeerRequest::Deliver { envelope } = request;
                outcome = accept(envelope, &mut expected, &mut sink);
                let answer = match &outcome {
                    Ok(()) => Ok(PeerResponse::Deliver(())),
                    Err(e) => {
                        let kind = std::io::ErrorKind::InvalidData;
                        Err(ServerError::new(kind, e.to_string()))
                    }
                };
                std::future::ready(answer)
            }))
            .await;
        outcome?;
    }
    Ok(())
}

fn accept(
    envelope: Envelope,
    expected: &mut u64,
    sink: &mut impl FnMut(Vec<(PartitionId, Message)>) -> Result<(), NetError>,
) -> Result<(), NetError> {
    if envelope.sequence != *expected {
        return Err(NetError::Gap { expected: *expected, found: envelope.sequence });
    }
    *expected = expected.saturating_add(1);
    sink(envelope.messages)
}

/// All peers that send to this process. Sees to it that at most one connection of a peer is
/// listened to: when a peer connects anew, nothing of its older connection is taken any more.
/// Cheap to clone; all shards must use clones of one value.
#[derive(Clone, Debug, Default)]
pub struct PeerReceivers(Arc<Mutex<HashMap<NodeId, Arc<Mutex<Current>>>>>);

/// Which connection of one peer counts.
#[derive(Debug, Default)]
struct Current {
    incarnation: u64,
    /// Distinguishes connections.
    generation: u64,
    cancel: CancellationToken,
}

impl PeerReceivers {
    /// Like [`serve_peer`], for the peer named in the greeting; also ends, with
    /// [`NetError::Superseded`], when that peer connects again, or at once if a younger
    /// incarnation of it was seen before.
    ///
    /// `on_start` is called when older connections are out of the way, before the first message.
    pub async fn serve(
        &self,
        accepted: Accepted,
        on_start: impl FnOnce(&NodeId, u64),
        sink: impl Fn(NodeId, Vec<(PartitionId, Message)>),
    ) -> Result<(), NetError> {
        let from = accepted.hello.node.clone();
        let incarnation = accepted.hello.incarnation;
        let current = locked(&self.0).entry(from.clone()).or_default().clone();
        let (generation, cancelled) = {
            let mut current = locked(&current);
            if incarnation < current.incarnation {
                return Err(NetError::Superseded);
            }
            current.cancel.cancel();
            current.incarnation = incarnation;
            current.generation += 1;
            current.cancel = CancellationToken::new();
            on_start(&from, incarnation);
            (current.generation, current.cancel.clone())
        };
        let deliver = |messages| {
            // Held while the messages are handed over, so that none of them can slip in after the
            // first ones of a newer connection.
            let current = locked(&current);
            if current.generation != generation {
                return Err(NetError::Superseded);
            }
            sink(from.clone(), messages);
            Ok(())
        };
        tokio::select! {
            result = serve_checked(accepted.transport(), deliver) => result,
            () = cancelled.cancelled() => Err(NetError::Superseded),
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
