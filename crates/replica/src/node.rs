//! A replica server: start and shutdown.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pegasus_net::{
    CancellationToken, Doors, Identity, Limits, NetError, PeerReceivers, PrivateAcceptor, bind_std,
};
use pegasus_protocol::private::ServiceKind;
use pegasus_storage::{DataDirs, DiskWriter, LogError, StorageError, WriterOptions};
use pegasus_types::NodeId;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{Notify, oneshot};
use tokio::task::LocalSet;

use crate::inbox::{Left, ToShard};
use crate::leases::LeaseBoard;
use crate::meta_client::MetaClient;
use crate::meta_link::{self, MetaAsk};
use crate::peers::{self, Links};
use crate::readers::{READER_THREADS, Readers};
use crate::restore::{self, Restored};
use crate::rpc::Handler;
use crate::run_marker::{self, LastEnd};
use crate::settings::Settings;
use crate::shard::Shard;
use crate::shared::Shared;
use crate::table::Table;
use crate::{clock, control, heartbeat, http, pins};

/// Threads for work that may block: reads from disk, flushes, copies.
const BLOCKING_THREADS: usize = 64;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Storage(#[from] StorageError),
    #[error("{0}")]
    Log(#[from] LogError),
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("cannot {what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
}

/// A running replica server.
pub struct Node {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Ends the listeners and their connections.
    serving: CancellationToken,
    /// Ends the threads.
    threads_end: CancellationToken,
    threads: Vec<JoinHandle<()>>,
    background: Runtime,
    readers: Runtime,
}

/// What the threads of a node are made of.
struct Parts {
    shard_inboxes: Vec<UnboundedReceiver<ToShard>>,
    shard_runtimes: Vec<Runtime>,
    meta_inbox: UnboundedReceiver<MetaAsk>,
    restored: Restored,
}

impl Node {
    /// Opens disks and replicas, then serves. Blocks until the listeners are up. Must not be called
    /// from within an async runtime.
    pub fn start(settings: Settings) -> Result<Node, StartError> {
        let io = |what| move |source| StartError::Io { what, source };
        let listeners = listen(settings.listen, settings.shard_count)?;
        let address = match listeners.first() {
            Some(listener) => listener.local_addr().map_err(io("read the bound address"))?,
            None => settings.listen,
        };
        let me = match settings.me.port() {
            0 => NodeId::new(settings.me.host(), address.port()),
            _ => settings.me.clone(),
        };
        let background = Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name("background")
            .enable_all()
            .build()
            .map_err(io("start the background runtime"))?;
        let readers = Builder::new_multi_thread()
            .worker_threads(1)
            .max_blocking_threads(READER_THREADS)
            .thread_name("reader")
            .build()
            .map_err(io("start the readers"))?;
        let (shared, parts) = prepare(settings, me, &background, &readers)?;
        let Parts { shard_inboxes, shard_runtimes, meta_inbox, restored } = parts;
        take_in(&shared, restored);

        let serving = CancellationToken::new();
        let threads_end = CancellationToken::new();
        let mut threads = Vec::new();
        let connected = Arc::new(Notify::new());
        let (lease_sender, lease_inbox) = unbounded_channel();
        threads.push(spawn_lease_thread(
            &shared,
            lease_inbox,
            Arc::clone(&connected),
            threads_end.clone(),
        )?);
        let limits = Limits {
            conn_threshold_per_ip: shared.settings.conn_threshold_per_ip,
            drain_timeout: Duration::from_millis(500),
            ..Limits::default()
        };
        let receivers = PeerReceivers::default();
        let shards = shard_runtimes.into_iter().zip(shard_inboxes).zip(listeners);
        for (index, ((runtime, inbox), listener)) in shards.enumerate() {
            let thread = ShardThread {
                shared: Arc::clone(&shared),
                index,
                listener,
                limits: limits.clone(),
                receivers: receivers.clone(),
                leases: lease_sender.clone(),
                serving: serving.clone(),
                end: threads_end.clone(),
            };
            let spawned = thread::Builder::new()
                .name(format!("shard-{index}"))
                .spawn(move || thread.run(&runtime, inbox));
            threads.push(spawned.map_err(io("start a shard"))?);
        }
        let client =
            Arc::new(MetaClient::new(shared.identity.clone(), shared.settings.metas.clone()));
        background.spawn(meta_link::asks(Arc::clone(&shared), Arc::clone(&client), meta_inbox));
        let syncs = meta_link::syncs(Arc::clone(&shared), client, connected);
        let taken_in = everybody_reached(&shared);
        background.spawn(async move {
            // The meta server takes a member that is not in the report for lost.
            taken_in.await;
            syncs.await;
        });
        tracing::info!(node = %shared.me, %address, "replica server is up");
        Ok(Node { shared, address, serving, threads_end, threads, background, readers })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn id(&self) -> &NodeId {
        &self.shared.me
    }

    /// Steps down everywhere, says goodbye, puts everything on disk. Blocks; must not be called
    /// from within an async runtime.
    pub fn shutdown(self) {
        let Node { shared, serving, threads_end, threads, background, readers, .. } = self;
        let left = background.block_on(stop_shards(&shared));
        tracing::info!(partitions = left.len(), "stepped down");
        background.block_on(meta_link::goodbye(&shared));
        wait_for_links(&shared);
        serving.cancel();
        threads_end.cancel();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of this node had panicked");
            }
        }
        readers.shutdown_timeout(Duration::from_secs(5));
        let clean = background.block_on(save_everything(&shared, left));
        if clean {
            for disk in shared.dirs.disks() {
                if let Err(e) = run_marker::end(disk.path()) {
                    tracing::warn!(disk = disk.tag(), "cannot note the proper end: {e}");
                }
            }
        }
        background.shutdown_timeout(Duration::from_secs(5));
        tracing::info!(clean, "replica server has ended");
    }
}

/// One socket per shard on the same port.
fn listen(address: SocketAddr, shards: usize) -> Result<Vec<std::net::TcpListener>, StartError> {
    if address.port() != 0 {
        // With shared ports the kernel would not mind a second server; this notices one.
        drop(bind_std(address, false)?);
    }
    let mut listeners: Vec<std::net::TcpListener> = Vec::new();
    for _ in 0..shards {
        let bound = match listeners.first().map(std::net::TcpListener::local_addr) {
            Some(Ok(bound)) => bound,
            _ => address,
        };
        listeners.push(bind_std(bound, true)?);
    }
    Ok(listeners)
}

/// Opens disks and replicas and wires everything together; no thread of ours runs yet but those of
/// the disk writers.
fn prepare(
    settings: Settings,
    me: NodeId,
    background: &Runtime,
    readers: &Runtime,
) -> Result<(Arc<Shared>, Parts), StartError> {
    let io = |what| move |source| StartError::Io { what, source };
    let dirs = DataDirs::open(&settings.data_dirs, &settings.cluster)?;
    let mut last_ends = Vec::new();
    let mut disks = Vec::new();
    for disk in dirs.disks() {
        let last_end = run_marker::begin(disk.path()).map_err(io("note the start of a run"))?;
        // What was acknowledged after a sync cannot have been lost.
        let doubted = !settings.plog_force_flush;
        last_ends.push(doubted.then_some(last_end).filter(|end| *end == LastEnd::MaybeLost));
        let options = WriterOptions {
            force_flush: settings.plog_force_flush,
            sync_interval_ms: settings.plog_sync_interval_ms,
        };
        disks.push(DiskWriter::start(disk.tag(), options)?);
    }
    let open_options = settings.open_options(&settings.engine);
    let restored = restore::restore(&dirs, &open_options, &last_ends);
    let identity = Identity {
        cluster: settings.cluster.clone(),
        node: me.clone(),
        incarnation: u64::try_from(clock::unix_micros()).unwrap_or(0),
    };
    let mut shard_runtimes = Vec::new();
    let mut shards = Vec::new();
    let mut shard_inboxes = Vec::new();
    for _ in 0..settings.shard_count.max(1) {
        let runtime = Builder::new_current_thread().enable_all().build();
        shard_runtimes.push(runtime.map_err(io("start a shard's runtime"))?);
        let (sender, inbox) = unbounded_channel();
        shards.push(sender);
        shard_inboxes.push(inbox);
    }
    let handles = shard_runtimes.iter().map(|runtime| runtime.handle().clone()).collect();
    let links = Links::new(identity.clone(), handles, shards.clone());
    let (meta, meta_inbox) = unbounded_channel();
    let shared = Shared {
        server: Arc::from(me.to_string()),
        board: LeaseBoard::new(settings.leases, clock::now()),
        engine_options: settings.engine.clone(),
        me,
        identity,
        table: Table::default(),
        shards,
        disks,
        dirs,
        background: background.handle().clone(),
        readers: Readers::new(readers.handle().clone()),
        meta,
        links,
        settings,
    };
    let parts = Parts { shard_inboxes, shard_runtimes, meta_inbox, restored };
    Ok((Arc::new(shared), parts))
}

/// Gives the restored replicas to their shards.
fn take_in(shared: &Arc<Shared>, restored: Restored) {
    let (opened, broken) = (restored.opened.len(), restored.broken.len());
    tracing::info!(opened, broken, "replicas loaded");
    for (pid, broken) in restored.broken {
        shared.table.add_broken(pid, broken);
    }
    for opened in restored.opened {
        let pid = opened.dir.pid();
        shared.tell(pid, ToShard::Opened { pid, result: Ok(Box::new(opened)) });
    }
}

/// Done when every shard has taken in what was sent to it before this call.
fn everybody_reached(shared: &Shared) -> impl Future<Output = ()> + use<> {
    let mut reached = Vec::new();
    for shard in &shared.shards {
        let (done, answer) = oneshot::channel();
        drop(shard.send(ToShard::Reached { done }));
        reached.push(answer);
    }
    async move {
        for answer in reached {
            drop(answer.await);
        }
    }
}

fn spawn_lease_thread(
    shared: &Arc<Shared>,
    inbox: UnboundedReceiver<pegasus_net::Detached>,
    connected: Arc<Notify>,
    end: CancellationToken,
) -> Result<JoinHandle<()>, StartError> {
    let shared = Arc::clone(shared);
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|source| StartError::Io { what: "start the lease runtime", source })?;
    let body = move || {
        runtime.block_on(end.run_until_cancelled(async {
            tokio::spawn(meta_link::beacons(Arc::clone(&shared), connected));
            heartbeat::run(shared, inbox).await;
        }));
    };
    let spawned = thread::Builder::new().name("leases".to_owned()).spawn(body);
    spawned.map_err(|source| StartError::Io { what: "start the lease thread", source })
}

/// One shard with its listener.
struct ShardThread {
    shared: Arc<Shared>,
    index: usize,
    listener: std::net::TcpListener,
    limits: Limits,
    receivers: PeerReceivers,
    leases: UnboundedSender<pegasus_net::Detached>,
    serving: CancellationToken,
    end: CancellationToken,
}

impl ShardThread {
    fn run(self, runtime: &Runtime, inbox: UnboundedReceiver<ToShard>) {
        let doors = self.doors();
        let ShardThread { shared, index, listener, limits, serving, end, .. } = self;
        LocalSet::new().block_on(runtime, async move {
            let listener = match tokio::net::TcpListener::from_std(listener) {
                Ok(listener) => listener,
                Err(e) => return tracing::error!("shard {index} cannot listen: {e}"),
            };
            let connections = pegasus_net::serve(listener, doors, limits, serving);
            let connections = tokio::task::spawn_local(connections);
            Shard::new(shared, index, inbox).run().await;
            // The links of this runtime still carry last messages.
            end.cancelled().await;
            let _ = connections.await;
        });
    }

    fn doors(&self) -> Doors<Handler> {
        let shared = &self.shared;
        let private = PrivateAcceptor::new(shared.identity.clone());
        let (node, receivers) = (Arc::clone(shared), self.receivers.clone());
        let private = private.on(ServiceKind::Peer, move |accepted| {
            peers::serve(Arc::clone(&node), receivers.clone(), accepted)
        });
        let leases = self.leases.clone();
        let private = private.on(ServiceKind::Lease, move |accepted| {
            // Served by the lease thread, which no shard can hold up.
            let handed_over = accepted.detach().map(|connection| leases.send(connection));
            async move {
                if let Err(e) = handed_over {
                    tracing::warn!("cannot hand a lease connection over: {e}");
                }
            }
        });
        let node = Arc::clone(shared);
        let private = private.on(ServiceKind::Checkpoints, move |accepted| {
            if let Ok(connection) = accepted.detach() {
                node.background.spawn(pins::serve(Arc::clone(&node), connection));
            }
            async {}
        });
        let node = Arc::clone(shared);
        let private = private.on(ServiceKind::ReplicaControl, move |accepted| {
            control::serve(Arc::clone(&node), accepted)
        });
        Doors {
            rpc: Handler::new(Arc::clone(shared)),
            http: http::router(Arc::clone(shared)),
            private,
        }
    }
}

async fn stop_shards(shared: &Arc<Shared>) -> Vec<Left> {
    let mut answers = Vec::new();
    for shard in &shared.shards {
        let (left, answer) = oneshot::channel();
        if shard.send(ToShard::Stop { left }).is_ok() {
            answers.push(answer);
        }
    }
    let mut all = Vec::new();
    for answer in answers {
        all.extend(answer.await.unwrap_or_default());
    }
    all
}

/// Gives the last messages a moment to leave.
fn wait_for_links(shared: &Shared) {
    let give_up = Instant::now() + Duration::from_millis(300);
    while shared.links.queued_bytes() > 0 && Instant::now() < give_up {
        thread::sleep(Duration::from_millis(5));
    }
}

/// True if every engine is flushed and every log synced.
async fn save_everything(shared: &Arc<Shared>, left: Vec<Left>) -> bool {
    let mut jobs = tokio::task::JoinSet::new();
    for Left { pid, engine, log } in left {
        let save = move || {
            let flushed = engine.map_or(Ok(()), |engine| engine.flush());
            if let Err(e) = &flushed {
                tracing::error!(partition = %pid, "cannot flush the engine: {e}");
            }
            let synced = log.lock().unwrap_or_else(PoisonError::into_inner).sync();
            if let Err(e) = &synced {
                tracing::error!(partition = %pid, "cannot sync the log: {e}");
            }
            flushed.is_ok() && synced.is_ok()
        };
        jobs.spawn_blocking_on(save, &shared.background);
    }
    let mut clean = true;
    while let Some(saved) = jobs.join_next().await {
        clean &= saved.unwrap_or(false);
    }
    clean
}
