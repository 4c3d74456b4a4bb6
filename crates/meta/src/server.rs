//! A meta server: start and end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use pegasus_control::Event;
use pegasus_net::{
    CancellationToken, Doors, Identity, Limits, NetError, PrivateAcceptor, bind, serve,
};
use pegasus_protocol::private::ServiceKind;
use pegasus_types::NodeId;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::LocalSet;
use tracing::info;

use crate::addresses::Addresses;
use crate::owner::{Command, Owner, OwnerError, OwnerHandle};
use crate::rpc::Handler;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::store::{EmbeddedStore, MetaStore, StoreError, StoreThread};
use crate::view::View;
use crate::{clock, http, service};

/// Why a meta server does not start, or ended on its own.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Net(#[from] NetError),
    #[error("cannot {what}: {source}")]
    Io { what: &'static str, source: std::io::Error },
    #[error("{0}")]
    Owner(#[from] OwnerError),
}

/// A meta server that listens but does not serve yet.
pub struct Server {
    shared: Arc<Shared>,
    listener: TcpListener,
    address: SocketAddr,
    inbox: UnboundedReceiver<Command>,
    store: StoreThread,
    nodes: Vec<(String, String)>,
}

impl Server {
    /// Opens the store and binds the port. Within a current-thread runtime.
    pub async fn open(settings: Settings) -> Result<Server, StartError> {
        let mut store = EmbeddedStore::open(&settings.store_dir, &settings.cluster)?;
        let nodes = store.load()?;
        let listener = bind(settings.listen, false)?;
        let address = listener
            .local_addr()
            .map_err(|source| StartError::Io { what: "read the bound address", source })?;
        let me = match settings.me.port() {
            0 => NodeId::new(settings.me.host(), address.port()),
            _ => settings.me.clone(),
        };
        let identity = Identity {
            cluster: settings.cluster.clone(),
            node: me.clone(),
            incarnation: clock::unix_micros(),
        };
        let (owner, inbox) = OwnerHandle::new();
        let completions = owner.clone();
        let done = move |seq, result| completions.tell(Event::Persisted { seq, result });
        let store = StoreThread::start(Box::new(store), Box::new(done))
            .map_err(|source| StartError::Io { what: "start the metadata thread", source })?;
        let addresses = Addresses::default();
        addresses.prepare(&me).await;
        let view = ArcSwap::from_pointee(View::default());
        let shared = Arc::new(Shared { settings, identity, view, addresses, owner });
        Ok(Server { shared, listener, address, inbox, store, nodes })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// As others address this server.
    pub fn id(&self) -> &NodeId {
        &self.shared.identity.node
    }

    /// Serves until `shutdown`. What was asked of the store by then is finished.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), StartError> {
        let Server { shared, listener, address, inbox, store, nodes } = self;
        info!(node = %shared.identity.node, %address, "meta server is up");
        let limits = Limits {
            conn_threshold_per_ip: shared.settings.conn_threshold_per_ip,
            drain_timeout: Duration::from_millis(500),
            ..Limits::default()
        };
        let doors = doors(&shared);
        let closing = shutdown.child_token();
        let result = LocalSet::new()
            .run_until(async {
                let serving = serve(listener, doors, limits, closing.clone());
                let serving = tokio::task::spawn_local(serving);
                let owner = Owner::new(shared, store);
                let result = owner.run(nodes, inbox, shutdown).await;
                closing.cancel();
                if serving.await.is_err() {
                    tracing::error!("the listener had panicked");
                }
                result
            })
            .await;
        info!("meta server has ended");
        Ok(result?)
    }
}

fn doors(shared: &Arc<Shared>) -> Doors<Handler> {
    let services = Arc::clone(shared);
    let private = PrivateAcceptor::new(shared.identity.clone())
        .on(ServiceKind::Meta, move |accepted| service::serve(Arc::clone(&services), accepted));
    Doors { rpc: Handler::new(Arc::clone(shared)), http: http::router(Arc::clone(shared)), private }
}
