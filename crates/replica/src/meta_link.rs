//! What this node and the meta server tell each other: beacons (on the lease thread), config syncs,
//! configuration updates and questions (in the background).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use pegasus_protocol::private::{Beacon, ConfigSync};
use pegasus_replication::{Event, LeaseView};
use pegasus_types::{ConfigUpdate, PartitionId, UpdateOutcome};
use tokio::sync::Notify;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, timeout};

use crate::clock;
use crate::inbox::ToShard;
use crate::meta_client::MetaClient;
use crate::shared::Shared;

/// Pause before an unanswered update is sent again.
const UPDATE_RETRY: Duration = Duration::from_millis(300);
/// Pause after a failed beacon or sync: another meta server may lead by now.
const RETRY: Duration = Duration::from_millis(200);
const CALL_LIMIT: Duration = Duration::from_secs(3);

/// What a partition wants from the meta server.
#[derive(Debug)]
pub enum MetaAsk {
    /// Until it is answered; a later one for the same partition takes its place.
    Update(ConfigUpdate),
    Query {
        pid: PartitionId,
        epoch: u64,
    },
}

/// Keeps the meta lease alive. `connected` is notified when a meta server answers after none did:
/// the time for a config sync.
pub async fn beacons(shared: Arc<Shared>, connected: Arc<Notify>) {
    let client = MetaClient::new(shared.identity.clone(), shared.settings.metas.clone());
    let interval = Duration::from_millis(shared.settings.beacon_interval_ms);
    let mut reachable = false;
    loop {
        let started = Instant::now();
        let beacon = beacon(&shared, false);
        let sent = beacon.sent;
        let limit = interval.max(Duration::from_secs(1));
        match client.beacon(beacon, limit).await {
            Ok(ack) if ack.sent != sent => tracing::warn!("answer to another beacon than was sent"),
            Ok(ack) => {
                // A meta server cannot grant more than both sides have configured.
                let lease_ms = ack.lease_ms.min(shared.settings.fd_lease_ms);
                if lease_ms > 0 && shared.board.granted_by_meta(sent, lease_ms) {
                    shared.tell_everybody(None, &Event::LeasesChanged);
                }
                if !std::mem::replace(&mut reachable, true) {
                    tracing::info!("the meta server answers");
                    connected.notify_one();
                }
                tokio::time::sleep_until(started + interval).await;
                continue;
            }
            Err(e) if reachable => tracing::warn!("beacon failed: {e}"),
            Err(e) => tracing::debug!("beacon failed: {e}"),
        }
        reachable = false;
        sleep(RETRY.min(interval)).await;
    }
}

fn beacon(shared: &Shared, goodbye: bool) -> Beacon {
    Beacon {
        node: shared.me.clone(),
        incarnation: shared.identity.incarnation,
        sent: clock::now(),
        goodbye,
    }
}

/// Tells the meta server that this node serves nothing any more, so that it need not wait.
pub async fn goodbye(shared: &Shared) {
    let client = MetaClient::new(shared.identity.clone(), shared.settings.metas.clone());
    let tries = async {
        for _ in 0..shared.settings.metas.len().saturating_mul(2) {
            match client.beacon(beacon(shared, true), Duration::from_millis(500)).await {
                Ok(_) => return,
                Err(e) => tracing::debug!("goodbye: {e}"),
            }
        }
        tracing::warn!("no meta server heard the goodbye");
    };
    let _ = timeout(Duration::from_secs(2), tries).await;
}

/// Config syncs on a timer and whenever `connected` says so.
pub async fn syncs(shared: Arc<Shared>, client: Arc<MetaClient>, connected: Arc<Notify>) {
    let interval = Duration::from_millis(shared.settings.config_sync_interval_ms);
    loop {
        let pause = match sync_once(&shared, &client).await {
            Ok(()) => interval,
            Err(e) => {
                tracing::debug!("config sync failed: {e}");
                RETRY.min(interval)
            }
        };
        let _ = timeout(pause, connected.notified()).await;
    }
}

async fn sync_once(
    shared: &Arc<Shared>,
    client: &MetaClient,
) -> Result<(), crate::meta_client::MetaError> {
    // Taken before the question: what is answered later is at least as new as this lease.
    let asked_in = shared.board.held_from_meta(clock::now());
    let request = ConfigSync {
        node: shared.me.clone(),
        incarnation: shared.identity.incarnation,
        replicas: shared.table.reports(),
    };
    let reply = client.config_sync(request, CALL_LIMIT).await?;
    for (config, app) in reply.partitions {
        shared.tell(config.pid, ToShard::Told { config, app, asked_in });
    }
    for pid in reply.garbage {
        shared.tell(pid, ToShard::Garbage { pid });
    }
    Ok(())
}

/// Updates under way, newest per partition.
type Updates = Arc<Mutex<HashMap<PartitionId, ConfigUpdate>>>;

/// Carries out what partitions ask for.
pub async fn asks(
    shared: Arc<Shared>,
    client: Arc<MetaClient>,
    mut inbox: UnboundedReceiver<MetaAsk>,
) {
    let updates = Updates::default();
    while let Some(ask) = inbox.recv().await {
        let (shared, client) = (Arc::clone(&shared), Arc::clone(&client));
        match ask {
            MetaAsk::Update(update) => {
                let pid = update.config.pid;
                let mut under_way = updates.lock().unwrap_or_else(PoisonError::into_inner);
                if under_way.insert(pid, update).is_none() {
                    tokio::spawn(insist(shared, client, Arc::clone(&updates), pid));
                }
            }
            MetaAsk::Query { pid, epoch } => {
                tokio::spawn(async move {
                    match client.query_partition(pid, CALL_LIMIT).await {
                        Ok(Some(config)) => {
                            let event = Event::Config { config, asked_in: Some(epoch) };
                            shared.tell(pid, ToShard::Event { pid, event });
                        }
                        Ok(None) => tracing::warn!(partition = %pid, "unknown to the meta server"),
                        // The core asks again.
                        Err(e) => tracing::debug!(partition = %pid, "question to meta failed: {e}"),
                    }
                });
            }
        }
    }
}

/// Repeats the newest update of `pid` until the meta server decided about it.
async fn insist(shared: Arc<Shared>, client: Arc<MetaClient>, updates: Updates, pid: PartitionId) {
    let newest = || updates.lock().unwrap_or_else(PoisonError::into_inner).get(&pid).cloned();
    while let Some(update) = newest() {
        let outcome = match client.update_configuration(update.clone(), CALL_LIMIT).await {
            Ok(UpdateOutcome::Busy) => None,
            Ok(outcome) => Some(outcome),
            Err(e) => {
                tracing::debug!(partition = %pid, "configuration update failed: {e}");
                None
            }
        };
        let Some(outcome) = outcome else {
            sleep(UPDATE_RETRY).await;
            continue;
        };
        {
            let mut under_way = updates.lock().unwrap_or_else(PoisonError::into_inner);
            if under_way.get(&pid) == Some(&update) {
                under_way.remove(&pid);
            }
        }
        let event = Event::UpdateReply { asked: update.config, outcome };
        shared.tell(pid, ToShard::Event { pid, event });
    }
}
