//! Creation and drop of tables (`spec/meta.md` 3.2, 3.4).
//!
//! The table's node is written with its final status together with as many partitions as fit into
//! one transaction; the rest follows in further ones. A crash in between is found and finished when
//! the store is loaded again (`spec/meta.md` 2.6).

use std::ops::Range;

use pegasus_types::{AppInfo, AppStatus, ErrorCode, PartitionConfig, PartitionId};

use crate::partition::{Partition, without_members};
use crate::state::{App, ClusterState};
use crate::store::{UNLOCKED, app_path, apps_root, encode_app, encode_partition, partition_path};
use crate::writes::{MAX_OPS, Purpose};
use crate::{CreateApp, DropApp, Effect, Effects, FunctionLevel, Response, StoreOp, Token};

/// Table ids are small numbers; a table larger than this is a mistake.
const MAX_PARTITION_COUNT: i32 = 65_536;
const MAX_NAME_LEN: usize = 256;
const APP_TYPE: &str = "pegasus";

impl ClusterState {
    pub(crate) fn create_app(&mut self, token: Token, request: CreateApp, out: &mut Effects) {
        match self.check_create(&request) {
            Err(code) => reply_create(token, Err(code), out),
            Ok(Some(app_id)) => reply_create(token, Ok(app_id), out),
            Ok(None) => {
                let info = AppInfo {
                    status: AppStatus::Creating,
                    app_type: request.app_type,
                    app_name: request.app_name,
                    app_id: self.next_app_id,
                    partition_count: request.partition_count,
                    envs: request.envs,
                    is_stateful: request.is_stateful,
                    max_replica_count: request.replica_count,
                    expire_second: 0,
                    create_second: self.unix_secs,
                    drop_second: 0,
                    duplicating: false,
                    init_partition_count: request.partition_count,
                    is_bulk_loading: false,
                    atomic_idempotent: request.atomic_idempotent,
                };
                self.begin_create(info, Some(token), out);
            }
        }
    }

    /// Ok(Some(id)): exists and that is fine.
    fn check_create(&self, request: &CreateApp) -> Result<Option<i32>, ErrorCode> {
        if self.effective_level() <= FunctionLevel::Freezed {
            return Err(ErrorCode::StateFreezed);
        }
        let replicas = request.replica_count;
        let alive = self.nodes.alive().count();
        let replicas_fit = (self.options.min_allowed_replica_count
            ..=self.options.max_allowed_replica_count)
            .contains(&replicas)
            && usize::try_from(replicas).is_ok_and(|wanted| wanted >= 1 && wanted <= alive);
        if !(1..=MAX_PARTITION_COUNT).contains(&request.partition_count)
            || !replicas_fit
            || !envs_fit(request)
            || !is_name(&request.app_name)
            || request.app_type != APP_TYPE
            || !request.is_stateful
        {
            return Err(ErrorCode::InvalidParameters);
        }
        let Some(existing) = self.app(&request.app_name) else {
            return Ok(None);
        };
        match existing.status {
            AppStatus::Creating | AppStatus::Recalling => Err(ErrorCode::BusyCreating),
            AppStatus::Dropping => Err(ErrorCode::BusyDropping),
            _ if !request.success_if_exist => Err(ErrorCode::AppExist),
            _ if is_same(existing, request) => Ok(Some(existing.app_id)),
            _ => Err(ErrorCode::InvalidParameters),
        }
    }

    /// `info.status` must be `Creating`; without a token it is tried until it succeeds.
    pub(crate) fn begin_create(&mut self, info: AppInfo, token: Option<Token>, out: &mut Effects) {
        let app_id = info.app_id;
        self.next_app_id = self.next_app_id.max(app_id.saturating_add(1));
        self.names.insert(info.app_name.clone(), app_id);
        let partitions = (0..info.partition_count).map(|index| {
            let pid = PartitionId::new(app_id, index);
            let config = PartitionConfig::new(pid, info.max_replica_count);
            Partition { stored: false, ..Partition::new(config, self.now) }
        });
        let partitions = partitions.collect();
        let mut app = App::new(info, partitions);
        app.keep_trying = token.is_none();
        app.waiting.extend(token);
        self.apps.insert(app_id, app);
        self.touch(app_id);
        self.continue_table(app_id, out);
    }

    pub(crate) fn drop_app(&mut self, token: Token, request: &DropApp, out: &mut Effects) {
        let reserve = request.reserve_seconds.filter(|secs| *secs > 0);
        let reserve = reserve.unwrap_or(self.options.hold_seconds_for_dropped_app);
        let result = match self.app(&request.app_name) {
            None if request.success_if_not_exist => Ok(None),
            None => Err(ErrorCode::AppNotExist),
            Some(info) => match info.status {
                AppStatus::Creating | AppStatus::Recalling => Err(ErrorCode::BusyCreating),
                AppStatus::Dropping => Err(ErrorCode::BusyDropping),
                _ => Ok(Some(info.app_id)),
            },
        };
        let app_id = match result {
            Ok(Some(app_id)) => app_id,
            Ok(None) => return reply_drop(token, Ok(()), out),
            Err(code) => return reply_drop(token, Err(code), out),
        };
        if let Some(app) = self.apps.get_mut(&app_id) {
            app.info.status = AppStatus::Dropping;
            app.info.drop_second = self.unix_secs;
            app.info.expire_second = self.unix_secs.saturating_add(reserve);
            app.waiting.push(token);
            app.keep_trying = false;
            app.begun = false;
            app.not_before = self.now;
        }
        self.touch(app_id);
        self.continue_table(app_id, out);
    }

    /// Goes on with every creation and drop that nothing holds up.
    pub(crate) fn continue_tables(&mut self, out: &mut Effects) {
        let unstable = self
            .apps
            .values()
            .filter(|app| !matches!(app.info.status, AppStatus::Available | AppStatus::Dropped));
        let ids: Vec<i32> = unstable.map(|app| app.info.app_id).collect();
        for app_id in ids {
            self.continue_table(app_id, out);
        }
    }

    /// Takes the next step of a creation or a drop, or ends it.
    fn continue_table(&mut self, app_id: i32, out: &mut Effects) {
        let under_way = self.writes.purposes().any(
            |(_, purpose)| matches!(purpose, Purpose::Table { app_id: other, .. } if *other == app_id),
        );
        let Some(app) = self.apps.get(&app_id) else {
            return;
        };
        let creating = match app.info.status {
            AppStatus::Creating => true,
            AppStatus::Dropping => false,
            _ => return,
        };
        let waits = self.now < app.not_before;
        if under_way || waits || app.partitions.iter().any(|p| p.pending.is_some()) {
            return;
        }
        let todo = |p: &Partition| if creating { !p.stored } else { !p.dropped };
        let Some(from) = app.partitions.iter().position(todo) else {
            if app.begun {
                return self.end_table(app_id, out);
            }
            return self.store_table(app_id, 0..0, out);
        };
        let to = app.partitions.len().min(from.saturating_add(MAX_OPS - 1));
        self.store_table(app_id, from..to, out);
    }

    fn store_table(&mut self, app_id: i32, range: Range<usize>, out: &mut Effects) {
        let root = &self.options.cluster_root;
        let Some(app) = self.apps.get(&app_id) else {
            return;
        };
        let creating = app.info.status == AppStatus::Creating;
        let mut ops = Vec::new();
        if !app.begun {
            ops.push(StoreOp::Set { path: app_path(root, app_id), data: encode_app(&app.info) });
        }
        for partition in app.partitions.get(range.clone()).unwrap_or_default() {
            let path = partition_path(root, partition.config.pid);
            if creating && !partition.stored {
                let data = encode_partition(&partition.config, false);
                ops.push(StoreOp::Create { path, data });
            } else if !creating && !partition.dropped {
                let config = without_members(&partition.config);
                let config = config.as_ref().unwrap_or(&partition.config);
                ops.push(StoreOp::Set { path, data: encode_partition(config, true) });
            }
        }
        let (first, from, to) = (!app.begun, range.start, range.end);
        self.writes.begin(ops, Purpose::Table { app_id, first, from, to }, out);
    }

    pub(crate) fn table_persisted(
        &mut self,
        app_id: i32,
        first: bool,
        range: Range<usize>,
        ok: bool,
        out: &mut Effects,
    ) {
        let Some(app) = self.apps.get_mut(&app_id) else {
            return;
        };
        if !ok {
            // With the first step in the store the rest has to follow.
            app.not_before = self.now + self.options.resend_ms;
            if first && !app.keep_trying {
                self.abandon_table(app_id, out);
            }
            return;
        }
        app.begun = true;
        let creating = app.info.status == AppStatus::Creating;
        let mut dropped = Vec::new();
        for partition in app.partitions.get_mut(range).unwrap_or_default() {
            if creating {
                partition.stored = true;
            } else if !partition.dropped {
                partition.dropped = true;
                dropped.extend(without_members(&partition.config));
            }
        }
        for config in dropped {
            self.install(config.pid, config);
        }
        self.continue_table(app_id, out);
    }

    fn end_table(&mut self, app_id: i32, out: &mut Effects) {
        let Some(app) = self.apps.get_mut(&app_id) else {
            return;
        };
        let waiting = std::mem::take(&mut app.waiting);
        let creating = app.info.status == AppStatus::Creating;
        if creating {
            app.info.status = AppStatus::Available;
            self.dirty.extend(app.partitions.iter().map(|p| p.config.pid));
        } else {
            app.info.status = AppStatus::Dropped;
            if self.names.get(&app.info.app_name) == Some(&app_id) {
                self.names.remove(&app.info.app_name);
            }
        }
        for token in waiting {
            if creating {
                reply_create(token, Ok(app_id), out);
            } else {
                reply_drop(token, Ok(()), out);
            }
        }
        self.touch(app_id);
        self.end_bootstrap(out);
    }

    /// The store took nothing of the operation: it never happened.
    fn abandon_table(&mut self, app_id: i32, out: &mut Effects) {
        let Some(app) = self.apps.get_mut(&app_id) else {
            return;
        };
        let waiting = std::mem::take(&mut app.waiting);
        if app.info.status == AppStatus::Creating {
            self.names.remove(&app.info.app_name);
            self.apps.remove(&app_id);
            self.version += 1;
            waiting.into_iter().for_each(|t| reply_create(t, Err(ErrorCode::TryAgain), out));
        } else {
            app.info.status = AppStatus::Available;
            app.info.drop_second = 0;
            app.info.expire_second = 0;
            self.dirty.extend(app.partitions.iter().map(|p| p.config.pid));
            self.touch(app_id);
            waiting.into_iter().for_each(|t| reply_drop(t, Err(ErrorCode::TryAgain), out));
        }
    }

    /// Once all default tables exist, says so in the store.
    pub(crate) fn end_bootstrap(&mut self, out: &mut Effects) {
        let busy = self.apps.values().any(|app| app.info.status == AppStatus::Creating);
        if self.bootstrapping && !busy {
            self.bootstrapping = false;
            let path = apps_root(&self.options.cluster_root);
            let op = StoreOp::Set { path, data: UNLOCKED.to_owned() };
            self.writes.begin(vec![op], Purpose::Root, out);
        }
    }
}

fn reply_create(token: Token, result: Result<i32, ErrorCode>, out: &mut Effects) {
    out.push(Effect::Reply { token, response: Response::Create(result) });
}

fn reply_drop(token: Token, result: Result<(), ErrorCode>, out: &mut Effects) {
    out.push(Effect::Reply { token, response: Response::Drop(result) });
}

/// The alphabet of the reference's admin client, which the reference's meta server does not check.
fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':');
    !name.is_empty() && name.len() <= MAX_NAME_LEN && name.bytes().all(allowed)
}

/// The only envs that are checked at creation (`spec/meta.md` 3.2, step 4).
fn envs_fit(request: &CreateApp) -> bool {
    request.envs.iter().all(|(key, value)| match key.as_str() {
        "rocksdb.num_levels" => in_range(value, 1, 10),
        "rocksdb.write_buffer_size" => in_range(value, 16 << 20, 512 << 20),
        _ => true,
    })
}

fn in_range(text: &str, low: i64, high: i64) -> bool {
    text.parse::<i64>().is_ok_and(|value| (low..=high).contains(&value))
}

fn is_same(info: &AppInfo, request: &CreateApp) -> bool {
    info.partition_count == request.partition_count
        && info.app_type == request.app_type
        && info.envs == request.envs
        && info.is_stateful == request.is_stateful
        && info.max_replica_count == request.replica_count
}
