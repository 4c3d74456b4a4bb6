//! Messages of the data plane (`spec/wire.md` 3.6). Every blob shares the memory of its frame.
//!
//! `error` holds a `types::Status` code; `app_id`, `partition_index` and `server` (`ip:port`) say
//! who answered.

use std::sync::Arc;

use bytes::Bytes;

use crate::special::CodeName;
use crate::{thrift_enum, thrift_struct};

thrift_enum! {
    /// `filter_type`. How a filter pattern is compared; an empty pattern filters nothing.
    pub enum FilterType {
        NoFilter = 0 "FT_NO_FILTER",
        MatchAnywhere = 1 "FT_MATCH_ANYWHERE",
        MatchPrefix = 2 "FT_MATCH_PREFIX",
        MatchPostfix = 3 "FT_MATCH_POSTFIX",
    }

    /// `cas_check_type`. What a check_and_set or check_and_mutate asks of the present value.
    pub enum CasCheckType {
        NoCheck = 0 "CT_NO_CHECK",
        ValueNotExist = 1 "CT_VALUE_NOT_EXIST",
        ValueNotExistOrEmpty = 2 "CT_VALUE_NOT_EXIST_OR_EMPTY",
        ValueExist = 3 "CT_VALUE_EXIST",
        ValueNotEmpty = 4 "CT_VALUE_NOT_EMPTY",
        ValueMatchAnywhere = 5 "CT_VALUE_MATCH_ANYWHERE",
        ValueMatchPrefix = 6 "CT_VALUE_MATCH_PREFIX",
        ValueMatchPostfix = 7 "CT_VALUE_MATCH_POSTFIX",
        ValueBytesLess = 8 "CT_VALUE_BYTES_LESS",
        ValueBytesLessOrEqual = 9 "CT_VALUE_BYTES_LESS_OR_EQUAL",
        ValueBytesEqual = 10 "CT_VALUE_BYTES_EQUAL",
        ValueBytesGreaterOrEqual = 11 "CT_VALUE_BYTES_GREATER_OR_EQUAL",
        ValueBytesGreater = 12 "CT_VALUE_BYTES_GREATER",
        ValueIntLess = 13 "CT_VALUE_INT_LESS",
        ValueIntLessOrEqual = 14 "CT_VALUE_INT_LESS_OR_EQUAL",
        ValueIntEqual = 15 "CT_VALUE_INT_EQUAL",
        ValueIntGreaterOrEqual = 16 "CT_VALUE_INT_GREATER_OR_EQUAL",
        ValueIntGreater = 17 "CT_VALUE_INT_GREATER",
    }

    /// `mutate_operation`. What one entry of a check_and_mutate does.
    pub enum MutateOperation {
        Put = 0 "MO_PUT",
        Delete = 1 "MO_DELETE",
    }

    /// `update_type`. Where a put of a replicated translation came from; clients have no use for
    /// it.
    pub enum UpdateType {
        Put = 0 "UT_PUT",
        Incr = 1 "UT_INCR",
        CheckAndSet = 2 "UT_CHECK_AND_SET",
        CheckAndMutatePut = 3 "UT_CHECK_AND_MUTATE_PUT",
        CheckAndMutateRemove = 4 "UT_CHECK_AND_MUTATE_REMOVE",
    }
}

thrift_struct! {
    /// `update_request`. Argument of PUT.
    pub struct UpdateRequest {
        1 key: Bytes,
        2 value: Bytes,
        /// Seconds since 2016-01-01, 0 for never.
        3 expire_ts_seconds: i32,
        /// This and the following fields are to be ignored when a client sends them.
        4 r#type: Option<UpdateType>,
        5 check_value_returned: Option<bool>,
        6 check_value_exist: Option<bool>,
        7 check_value: Option<Bytes>,
    }

    /// `update_response`. Answer to PUT, REMOVE and MULTI_PUT.
    pub struct UpdateResponse {
        1 error: i32,
        2 app_id: i32,
        3 partition_index: i32,
        4 decree: i64,
        5 server: Arc<str>,
    }

    /// `read_response`. Answer to GET; `value` is empty unless `error` is 0.
    pub struct ReadResponse {
        1 error: i32,
        2 value: Bytes,
        3 app_id: i32,
        4 partition_index: i32,
        6 server: Arc<str>,
    }

    /// `ttl_response`. Answer to TTL; `ttl_seconds` is -1 for a record that never expires.
    pub struct TtlResponse {
        1 error: i32,
        2 ttl_seconds: i32,
        3 app_id: i32,
        4 partition_index: i32,
        6 server: Arc<str>,
    }

    /// `count_response`. Answer to SORTKEY_COUNT.
    pub struct CountResponse {
        1 error: i32,
        2 count: i64,
        3 app_id: i32,
        4 partition_index: i32,
        6 server: Arc<str>,
    }

    /// `key_value`. A record; what `key` holds depends on the message.
    pub struct KeyValue {
        1 key: Bytes,
        2 value: Bytes,
        3 expire_ts_seconds: Option<i32>,
    }

    /// `multi_put_request`.
    pub struct MultiPutRequest {
        1 hash_key: Bytes,
        /// The keys are sort keys.
        2 kvs: Vec<KeyValue>,
        3 expire_ts_seconds: i32,
    }

    /// `multi_remove_request`.
    pub struct MultiRemoveRequest {
        1 hash_key: Bytes,
        2 sort_keys: Vec<Bytes>,
        /// Unused.
        3 max_count: i64,
    }

    /// `multi_remove_response`. Answer to MULTI_REMOVE; `count` is the number of sort keys
    /// removed.
    pub struct MultiRemoveResponse {
        1 error: i32,
        2 count: i64,
        3 app_id: i32,
        4 partition_index: i32,
        5 decree: i64,
        6 server: Arc<str>,
    }

    /// `multi_get_request`. Argument of MULTI_GET.
    pub struct MultiGetRequest {
        1 hash_key: Bytes,
        /// If not empty, exactly these are read and the range is ignored.
        2 sort_keys: Vec<Bytes>,
        /// 0 or less: no limit.
        3 max_kv_count: i32,
        /// Bytes, 0 or less: no limit.
        4 max_kv_size: i32,
        5 no_value: bool,
        6 start_sortkey: Bytes,
        7 stop_sortkey: Bytes,
        8 start_inclusive: bool,
        9 stop_inclusive: bool,
        10 sort_key_filter_type: FilterType,
        11 sort_key_filter_pattern: Bytes,
        12 reverse: bool,
    }

    /// `multi_get_response`. Answer to MULTI_GET; the keys are sort keys.
    pub struct MultiGetResponse {
        1 error: i32,
        2 kvs: Vec<KeyValue>,
        3 app_id: i32,
        4 partition_index: i32,
        6 server: Arc<str>,
    }

    /// `full_key`.
    pub struct FullKey {
        1 hash_key: Bytes,
        2 sort_key: Bytes,
    }

    /// `batch_get_request`.
    pub struct BatchGetRequest {
        1 keys: Vec<FullKey>,
    }

    /// `full_data`.
    pub struct FullData {
        1 hash_key: Bytes,
        2 sort_key: Bytes,
        3 value: Bytes,
    }

    /// `batch_get_response`.
    pub struct BatchGetResponse {
        1 error: i32,
        2 data: Vec<FullData>,
        3 app_id: i32,
        4 partition_index: i32,
        6 server: Arc<str>,
    }

    /// `incr_request`.
    pub struct IncrRequest {
        1 key: Bytes,
        2 increment: i64,
        /// 0 keeps the expiry time, a positive number sets it, a negative one removes it.
        3 expire_ts_seconds: i32,
    }

    /// `incr_response`.
    pub struct IncrResponse {
        1 error: i32,
        2 new_value: i64,
        3 app_id: i32,
        4 partition_index: i32,
        5 decree: i64,
        6 server: Arc<str>,
    }

    /// `check_and_set_request`. Argument of CHECK_AND_SET.
    pub struct CheckAndSetRequest {
        1 hash_key: Bytes,
        2 check_sort_key: Bytes,
        3 check_type: CasCheckType,
        4 check_operand: Bytes,
        5 set_diff_sort_key: bool,
        6 set_sort_key: Bytes,
        7 set_value: Bytes,
        8 set_expire_ts_seconds: i32,
        9 return_check_value: bool,
    }

    /// `check_and_set_response`.
    pub struct CheckAndSetResponse {
        1 error: i32,
        2 check_value_returned: bool,
        3 check_value_exist: bool,
        4 check_value: Bytes,
        5 app_id: i32,
        6 partition_index: i32,
        7 decree: i64,
        8 server: Arc<str>,
    }

    /// `check_and_mutate_response`.
    pub struct CheckAndMutateResponse {
        1 error: i32,
        2 check_value_returned: bool,
        3 check_value_exist: bool,
        4 check_value: Bytes,
        5 app_id: i32,
        6 partition_index: i32,
        7 decree: i64,
        8 server: Arc<str>,
    }

    /// `mutate`.
    pub struct Mutate {
        1 operation: MutateOperation,
        2 sort_key: Bytes,
        3 value: Bytes,
        4 set_expire_ts_seconds: i32,
    }

    /// `check_and_mutate_request`. Argument of CHECK_AND_MUTATE.
    pub struct CheckAndMutateRequest {
        1 hash_key: Bytes,
        2 check_sort_key: Bytes,
        3 check_type: CasCheckType,
        4 check_operand: Bytes,
        5 mutate_list: Vec<Mutate>,
        6 return_check_value: bool,
    }

    /// `get_scanner_request`. Argument of GET_SCANNER. `start_key` and `stop_key` are stored keys.
    pub struct GetScannerRequest {
        1 start_key: Bytes,
        2 stop_key: Bytes,
        3 start_inclusive: bool,
        4 stop_inclusive: bool,
        5 batch_size: i32,
        6 no_value: bool,
        7 hash_key_filter_type: FilterType,
        8 hash_key_filter_pattern: Bytes,
        9 sort_key_filter_type: FilterType,
        10 sort_key_filter_pattern: Bytes,
        11 validate_partition_hash: Option<bool>,
        12 return_expire_ts: Option<bool>,
        13 full_scan: Option<bool>,
        14 only_return_count: Option<bool>,
    }

    /// `scan_request`.
    pub struct ScanRequest {
        1 context_id: i64,
    }

    /// `scan_response`. Answer to GET_SCANNER and SCAN.
    pub struct ScanResponse {
        1 error: i32,
        /// The keys are stored keys.
        2 kvs: Vec<KeyValue>,
        3 context_id: i64,
        4 app_id: i32,
        5 partition_index: i32,
        6 server: Arc<str>,
        7 kv_count: Option<i32>,
    }

    /// `duplicate_request`. Argument of DUPLICATE, sent by servers of another cluster.
    pub struct DuplicateRequest {
        1 entries: Vec<DuplicateEntry>,
    }

    /// `duplicate_entry`.
    pub struct DuplicateEntry {
        /// Microseconds since the unix epoch.
        1 timestamp: Option<i64>,
        2 task_code: Option<CodeName>,
        3 raw_message: Option<Bytes>,
        4 cluster_id: Option<i8>,
        5 verify_timetag: Option<bool>,
    }

    /// `duplicate_response`.
    pub struct DuplicateResponse {
        1 error: Option<i32>,
        2 error_hint: Option<String>,
    }
}
