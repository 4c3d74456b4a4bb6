use std::collections::BTreeMap;
use std::time::Duration;

use pegasus_protocol::admin::{
    AppStatus as WireStatus, ClusterInfoRequest, ClusterInfoResponse, Command, CreateAppOptions,
    CreateAppRequest, CreateAppResponse, DropAppOptions, DropAppRequest, DropAppResponse,
    ListAppsRequest, ListAppsResponse, ListNodesRequest, ListNodesResponse,
    NodeStatus as WireNodeStatus, PatternMatchType,
};
use pegasus_protocol::code::TaskCode;
use pegasus_protocol::thrift::Thrift;
use pegasus_types::{AppInfo, AppStatus, ErrorCode, NodeId};

use crate::meta::{MetaReply, Repeat, call_node, refused};
use crate::pacing::Deadline;
use crate::routing::{TableConfig, partition_config, query_config, shown};
use crate::{Client, Error};

macro_rules! meta_replies {
    ($($response:ty),* $(,)?) => {$(
        impl MetaReply for $response {
            fn code(&self) -> ErrorCode {
                self.err
            }
        }
    )*};
}

meta_replies!(
    CreateAppResponse,
    DropAppResponse,
    ListAppsResponse,
    ListNodesResponse,
    ClusterInfoResponse,
);

/// How to create a table. The default is what the reference's shell uses: 4 partitions with 3
/// replicas each.
#[derive(Clone, Debug)]
pub struct CreateTable {
    /// 1 or more; some clients insist on a power of two that is at least 2.
    pub partition_count: i32,
    /// 1 or more; servers refuse more than the cluster can hold.
    pub replica_count: i32,
    /// Fail with `ERR_APP_EXIST` if there is such a table; otherwise one with equal options is
    /// taken as success.
    pub fail_if_exists: bool,
    pub atomic_idempotent: bool,
    /// Table environment variables to start with.
    pub envs: BTreeMap<String, String>,
}

impl Default for CreateTable {
    fn default() -> CreateTable {
        CreateTable {
            partition_count: 4,
            replica_count: 3,
            fail_if_exists: false,
            atomic_idempotent: false,
            envs: BTreeMap::new(),
        }
    }
}

/// Which tables [`Client::list_tables`] lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableFilter {
    /// `None` lists tables in every state, dropped ones included.
    pub status: Option<AppStatus>,
    /// Only names that match.
    pub name: Option<NameMatch>,
}

impl TableFilter {
    /// The tables that can be used.
    pub fn available() -> TableFilter {
        TableFilter { status: Some(AppStatus::Available), name: None }
    }
}

/// How a table name is compared, by the meta server.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NameMatch {
    Exact(String),
    Anywhere(String),
    Prefix(String),
    Postfix(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NodeStatus {
    Alive,
    Unalive,
}

/// A replica server as the meta server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeInfo {
    pub node: NodeId,
    pub status: NodeStatus,
}

/// Calls to the meta server that leads. All of them use
/// [`ClientOptions::meta_timeout`](crate::ClientOptions::meta_timeout).
impl Client {
    async fn meta_call<A: Thrift, R: MetaReply>(
        &self,
        code: TaskCode,
        args: &A,
        repeat: Repeat,
    ) -> Result<(NodeId, R), Error> {
        let deadline = Deadline::after(self.inner.pool.options.meta_timeout);
        self.inner.metas.call(code, args, repeat, &deadline).await
    }

    /// Creates a table and returns its id. The table is ready for use only when its replicas are:
    /// see [`Client::wait_until_ready`].
    ///
    /// ```no_run
    /// # async fn example(client: pegasus_client::Client) -> Result<(), pegasus_client::Error> {
    /// use pegasus_client::CreateTable;
    ///
    /// client.create_table("orders", &CreateTable { partition_count: 16, ..CreateTable::default() }).await?;
    /// client.wait_until_ready("orders", std::time::Duration::from_secs(60), |_, _| {}).await?;
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Error::Refused`] with the meta server's code, e.g. `ERR_INVALID_PARAMETERS`;
    /// [`Error::OutcomeUnknown`] if the answer was lost and `fail_if_exists` forbids asking again.
    pub async fn create_table(&self, name: &str, options: &CreateTable) -> Result<i32, Error> {
        let request = CreateAppRequest {
            app_name: name.to_owned(),
            options: CreateAppOptions {
                partition_count: options.partition_count,
                replica_count: options.replica_count,
                success_if_exist: !options.fail_if_exists,
                app_type: "pegasus".to_owned(),
                is_stateful: true,
                envs: options.envs.clone(),
                atomic_idempotent: options.atomic_idempotent.then_some(true),
            },
        };
        let repeat = if options.fail_if_exists { Repeat::Unsafe } else { Repeat::Safe };
        let (server, response): (_, CreateAppResponse) =
            self.meta_call(TaskCode::CreateApp, &request, repeat).await?;
        check(&server, response.err, "")?;
        Ok(response.appid)
    }

    /// Drops a table; succeeds also if there is none. Its data can be recalled for
    /// `reserve_seconds` (`None`: the server's default).
    pub async fn drop_table(&self, name: &str, reserve_seconds: Option<u32>) -> Result<(), Error> {
        let request = DropAppRequest {
            app_name: name.to_owned(),
            options: DropAppOptions {
                success_if_not_exist: true,
                reserve_seconds: Some(i64::from(reserve_seconds.unwrap_or(0))),
            },
        };
        let (server, response): (_, DropAppResponse) =
            self.meta_call(TaskCode::DropApp, &request, Repeat::Safe).await?;
        check(&server, response.err, "")
    }

    /// The tables of the cluster, in ascending order of their ids.
    pub async fn list_tables(&self, filter: &TableFilter) -> Result<Vec<AppInfo>, Error> {
        let (match_type, pattern) = match &filter.name {
            None => (None, None),
            Some(NameMatch::Exact(text)) => (Some(PatternMatchType::MatchExact), Some(text)),
            Some(NameMatch::Anywhere(text)) => (Some(PatternMatchType::MatchAnywhere), Some(text)),
            Some(NameMatch::Prefix(text)) => (Some(PatternMatchType::MatchPrefix), Some(text)),
            Some(NameMatch::Postfix(text)) => (Some(PatternMatchType::MatchPostfix), Some(text)),
        };
        let request = ListAppsRequest {
            status: filter.status.map_or(WireStatus::Invalid, WireStatus::from),
            app_name_pattern: pattern.cloned(),
            match_type,
        };
        let (server, response): (_, ListAppsResponse) =
            self.meta_call(TaskCode::ListApps, &request, Repeat::Safe).await?;
        check(&server, response.err, response.hint_message.as_deref().unwrap_or_default())?;
        let mut tables: Vec<AppInfo> = response.infos.into_iter().map(AppInfo::from).collect();
        tables.sort_by_key(|table| table.app_id);
        Ok(tables)
    }

    /// The replica servers that the meta server knows, sorted by address; only those in one state
    /// if `status` says so.
    pub async fn list_nodes(&self, status: Option<NodeStatus>) -> Result<Vec<NodeInfo>, Error> {
        let status = match status {
            None => WireNodeStatus::Invalid,
            Some(NodeStatus::Alive) => WireNodeStatus::Alive,
            Some(NodeStatus::Unalive) => WireNodeStatus::Unalive,
        };
        let (server, response): (_, ListNodesResponse) =
            self.meta_call(TaskCode::ListNodes, &ListNodesRequest { status }, Repeat::Safe).await?;
        check(&server, response.err, "")?;
        let nodes = response.infos.iter().filter_map(|info| {
            let status = match info.status {
                WireNodeStatus::Alive => NodeStatus::Alive,
                _ => NodeStatus::Unalive,
            };
            Some(NodeInfo { node: shown(info.node, info.hp_node.as_ref())?, status })
        });
        let mut nodes: Vec<NodeInfo> = nodes.collect();
        nodes.sort_by(|a, b| a.node.cmp(&b.node));
        Ok(nodes)
    }

    /// Facts about the cluster as name and value, in the meta server's order
    /// (`spec/admin.md` 1.4).
    pub async fn cluster_info(&self) -> Result<Vec<(String, String)>, Error> {
        let (server, response): (_, ClusterInfoResponse) =
            self.meta_call(TaskCode::ClusterInfo, &ClusterInfoRequest {}, Repeat::Safe).await?;
        check(&server, response.err, "")?;
        Ok(response.keys.into_iter().zip(response.values).collect())
    }

    /// Who serves each partition of a table.
    ///
    /// # Errors
    /// [`Error::NoSuchTable`]; [`Error::Refused`] e.g. with `ERR_BUSY_CREATING`.
    pub async fn query_config(&self, table: &str) -> Result<TableConfig, Error> {
        let deadline = Deadline::after(self.inner.pool.options.meta_timeout);
        let response = query_config(&self.inner.metas, table, &deadline).await?;
        Ok(TableConfig {
            app_id: response.app_id,
            partitions: response.partitions.iter().map(partition_config).collect(),
        })
    }

    /// Waits until every partition has a primary and all its replicas, looking every half second.
    /// `progress` gets the number of ready partitions and of all, each time when not all are.
    ///
    /// # Errors
    /// [`Error::Timeout`] if that takes longer than `timeout`, and those of
    /// [`Client::query_config`].
    pub async fn wait_until_ready(
        &self,
        table: &str,
        timeout: Duration,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<(), Error> {
        let deadline = Deadline::after(timeout);
        loop {
            let config = self.query_config(table).await?;
            let ready = config.partitions.iter().filter(|partition| {
                let count = i32::try_from(partition.member_count()).unwrap_or(i32::MAX);
                partition.primary.is_some() && count >= partition.max_replica_count
            });
            let (ready, all) = (ready.count(), config.partition_count());
            if ready == all {
                return Ok(());
            }
            progress(ready, all);
            if deadline.passed() {
                return Err(deadline.timeout(None));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Runs a remote command on one server, meta or replica, and returns its text. A server
    /// answers an unknown command with a text, too (`spec/admin.md` 4.1).
    ///
    /// ```no_run
    /// # async fn example(client: pegasus_client::Client) -> Result<(), Box<dyn std::error::Error>> {
    /// let text = client.remote_command(&"127.0.0.1:34801".parse()?, "server-info", &[]).await?;
    /// println!("{text}");
    /// # Ok(()) }
    /// ```
    pub async fn remote_command(
        &self,
        node: &NodeId,
        command: &str,
        arguments: &[String],
    ) -> Result<String, Error> {
        let pool = &self.inner.pool;
        let deadline = Deadline::after(pool.options.meta_timeout);
        let args = Command { cmd: command.to_owned(), arguments: arguments.to_vec() };
        let answer = call_node(pool, node, TaskCode::CliCall, &args, &deadline).await;
        answer.map_err(|attempt| {
            if attempt.sent {
                Error::OutcomeUnknown { cause: Box::new(attempt.error) }
            } else {
                attempt.error
            }
        })
    }
}

fn check(server: &NodeId, code: ErrorCode, hint: &str) -> Result<(), Error> {
    if code == ErrorCode::Ok { Ok(()) } else { Err(refused(server, code, hint)) }
}
