use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pegasus_types::NodeId;

use crate::meta::Metas;
use crate::pacing::Deadline;
use crate::pool::Pool;
use crate::routing::Router;
use crate::{ClientOptions, Error, Table};

/// A connection to a cluster; cheap to clone, safe to share. All clones and all tables got from
/// them use the same connections, one per server.
///
/// The connections are driven by the tokio runtime they were first used on.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) pool: Arc<Pool>,
    pub(crate) metas: Arc<Metas>,
    /// Tables that someone still has a handle on.
    routers: Mutex<HashMap<String, Weak<Router>>>,
}

impl Client {
    /// A client of the cluster with these meta servers. Connects to none of them yet: the first
    /// operation does.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), pegasus_client::Error> {
    /// use pegasus_client::{Client, ClientOptions};
    ///
    /// let client = Client::connect("meta1:34601,meta2:34601", ClientOptions::default())?;
    /// let table = client.table("temp").await?;
    /// table.set("hash", "sort", "value", None).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] if the list is empty or not of the form `HOST:PORT,...`.
    pub fn connect(
        meta_servers: impl IntoMetaServers,
        options: ClientOptions,
    ) -> Result<Client, Error> {
        let meta_servers = meta_servers.into_meta_servers()?;
        if meta_servers.is_empty() {
            return Err(Error::InvalidArgument("no meta server given".to_owned()));
        }
        let pool = Arc::new(Pool::new(options));
        let metas = Arc::new(Metas::new(Arc::clone(&pool), meta_servers));
        Ok(Client { inner: Arc::new(Inner { pool, metas, routers: Mutex::default() }) })
    }

    /// Opens a table: asks the meta server who serves it.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`], or why no meta server answered within
    /// [`ClientOptions::meta_timeout`].
    pub async fn table(&self, name: &str) -> Result<Table, Error> {
        let inner = &self.inner;
        let options = &inner.pool.options;
        let router = match inner.router(name) {
            Some(router) => router,
            None => {
                let deadline = Deadline::after(options.meta_timeout);
                let router = Router::open(Arc::clone(&inner.metas), name, &deadline).await?;
                inner.keep(name, Arc::new(router))
            }
        };
        Ok(Table::new(Arc::clone(&inner.pool), router, options.timeout))
    }

    /// The meta servers this client was given.
    pub fn meta_servers(&self) -> &[NodeId] {
        self.inner.metas.configured()
    }
}

impl Inner {
    fn router(&self, name: &str) -> Option<Arc<Router>> {
        let routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        routers.get(name).and_then(Weak::upgrade)
    }

    /// Two callers may open a table at the same time; both get the router that came first.
    fn keep(&self, name: &str, router: Arc<Router>) -> Arc<Router> {
        let mut routers = self.routers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(existing) = routers.get(name).and_then(Weak::upgrade) {
            return existing;
        }
        routers.retain(|_, router| router.strong_count() > 0);
        routers.insert(name.to_owned(), Arc::downgrade(&router));
        router
    }
}

/// What names the meta servers of a cluster: addresses, or a text `HOST:PORT,HOST:PORT,...`.
pub trait IntoMetaServers {
    fn into_meta_servers(self) -> Result<Vec<NodeId>, Error>;
}

impl IntoMetaServers for &str {
    fn into_meta_servers(self) -> Result<Vec<NodeId>, Error> {
        let items = self.split(',').map(str::trim).filter(|item| !item.is_empty());
        items.map(|item| item.parse().map_err(Error::from)).collect()
    }
}

impl IntoMetaServers for &String {
    fn into_meta_servers(self) -> Result<Vec<NodeId>, Error> {
        self.as_str().into_meta_servers()
    }
}

impl IntoMetaServers for &[NodeId] {
    fn into_meta_servers(self) -> Result<Vec<NodeId>, Error> {
        Ok(self.to_vec())
    }
}

impl IntoMetaServers for &Vec<NodeId> {
    fn into_meta_servers(self) -> Result<Vec<NodeId>, Error> {
        Ok(self.clone())
    }
}

impl IntoMetaServers for Vec<NodeId> {
    fn into_meta_servers(self) -> Result<Vec<NodeId>, Error> {
        Ok(self)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn meta_server_lists() {
        let client = Client::connect(" a:1, b:2 ,", ClientOptions::default()).unwrap();
        let names: Vec<String> = client.meta_servers().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a:1", "b:2"]);
        assert!(Client::connect("", ClientOptions::default()).is_err());
        assert!(Client::connect("a", ClientOptions::default()).is_err());
        assert!(Client::connect("a:0", ClientOptions::default()).is_err());
    }
}
